CREATE TABLE regions (region_id INT PRIMARY KEY, region_name VARCHAR(25));
CREATE TABLE countries (country_id CHAR(2) PRIMARY KEY, country_name VARCHAR(40), region_id INT, CONSTRAINT countr_reg_fk FOREIGN KEY (region_id) REFERENCES regions (region_id));
CREATE TABLE locations (
  location_id INT PRIMARY KEY, street_address VARCHAR(40), postal_code VARCHAR(12), city VARCHAR(30) NOT NULL, country_id CHAR(2),
  CONSTRAINT loc_c_id_fk FOREIGN KEY (country_id) REFERENCES countries (country_id)
);
CREATE TABLE departments (
  department_id INT PRIMARY KEY, department_name VARCHAR(30) NOT NULL, manager_id INT, location_id INT,
  CONSTRAINT dept_loc_fk FOREIGN KEY (location_id) REFERENCES locations (location_id)
);
CREATE TABLE jobs (job_id VARCHAR(10) PRIMARY KEY, job_title VARCHAR(35) NOT NULL, min_salary DECIMAL(8,0), max_salary DECIMAL(8,0));
CREATE TABLE employees (
  employee_id INT PRIMARY KEY, first_name VARCHAR(20), last_name VARCHAR(25) NOT NULL, email VARCHAR(25) NOT NULL UNIQUE, hire_date DATE NOT NULL,
  job_id VARCHAR(10) NOT NULL, salary DECIMAL(8,2), manager_id INT, department_id INT,
  CONSTRAINT emp_dept_fk FOREIGN KEY (department_id) REFERENCES departments (department_id),
  CONSTRAINT emp_job_fk FOREIGN KEY (job_id) REFERENCES jobs (job_id),
  CONSTRAINT emp_manager_fk FOREIGN KEY (manager_id) REFERENCES employees (employee_id)
);
ALTER TABLE departments ADD CONSTRAINT dept_mgr_fk FOREIGN KEY (manager_id) REFERENCES employees (employee_id);
CREATE TABLE job_history (
  employee_id INT NOT NULL, start_date DATE NOT NULL, end_date DATE NOT NULL, job_id VARCHAR(10) NOT NULL, department_id INT,
  PRIMARY KEY (employee_id, start_date),
  CONSTRAINT jhist_job_fk FOREIGN KEY (job_id) REFERENCES jobs (job_id),
  CONSTRAINT jhist_emp_fk FOREIGN KEY (employee_id) REFERENCES employees (employee_id),
  CONSTRAINT jhist_dept_fk FOREIGN KEY (department_id) REFERENCES departments (department_id)
);
INSERT INTO regions VALUES (1, 'North'), (2, 'South');
INSERT INTO countries VALUES ('NO', 'Norway', 1), ('PE', 'Peru', 2);
INSERT INTO locations VALUES (10, 'Quay 1', '5003', 'Bergen', 'NO'), (20, NULL, NULL, 'Lima', 'PE');
INSERT INTO departments VALUES (1, 'Mill', NULL, 10), (2, 'Sea', NULL, 20), (3, 'Empty', NULL, NULL);
INSERT INTO jobs VALUES ('MILLER', 'Miller', 100, 900), ('BOSS', 'Boss', 500, NULL);
INSERT INTO employees VALUES
  (100, 'Ada', 'Berg', 'ADA', '2020-01-01', 'BOSS', 900.50, NULL, 1), (101, 'Bo', 'Cruz', 'BO', '2021-02-01', 'MILLER', 300, 100, 1),
  (102, NULL, 'Dahl', 'CY', '2022-03-01', 'MILLER', NULL, 100, 2), (103, 'Dee', 'Eide', 'DEE', '2023-04-01', 'MILLER', 200, 102, NULL);
UPDATE departments SET manager_id = 100 WHERE department_id = 1;
UPDATE departments SET manager_id = 102 WHERE department_id = 2;
INSERT INTO job_history VALUES (101, '2019-01-01', '2020-12-31', 'MILLER', 2), (101, '2017-01-01', '2018-12-31', 'MILLER', 1), (103, '2020-01-01', '2022-12-31', 'BOSS', NULL);
