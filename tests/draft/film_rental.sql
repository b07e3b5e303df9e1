CREATE TABLE country (country_id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, country VARCHAR(50) NOT NULL);
CREATE TABLE city (
  city_id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, city VARCHAR(50) NOT NULL, country_id SMALLINT UNSIGNED NOT NULL,
  CONSTRAINT fk_city_country FOREIGN KEY (country_id) REFERENCES country (country_id)
);
CREATE TABLE address (
  address_id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, address VARCHAR(50) NOT NULL, district VARCHAR(20), postal_code VARCHAR(10),
  phone VARCHAR(20), city_id SMALLINT UNSIGNED NOT NULL, location POINT,
  CONSTRAINT fk_address_city FOREIGN KEY (city_id) REFERENCES city (city_id)
);
CREATE TABLE language (language_id TINYINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name CHAR(20) NOT NULL);
CREATE TABLE actor (
  actor_id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, first_name VARCHAR(45) NOT NULL, last_name VARCHAR(45) NOT NULL,
  last_update TIMESTAMP NOT NULL DEFAULT '2024-01-01 00:00:00'
);
CREATE TABLE category (category_id TINYINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(25) NOT NULL);
CREATE TABLE film (
  film_id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, title VARCHAR(128) NOT NULL, description TEXT, release_year YEAR,
  language_id TINYINT UNSIGNED NOT NULL, original_language_id TINYINT UNSIGNED, rental_rate DECIMAL(4,2) NOT NULL DEFAULT 4.99,
  rating ENUM('G','PG','R') DEFAULT 'G', special_features SET('Trailers','Commentaries'),
  CONSTRAINT fk_film_language FOREIGN KEY (language_id) REFERENCES language (language_id),
  CONSTRAINT fk_film_language_original FOREIGN KEY (original_language_id) REFERENCES language (language_id)
);
CREATE TABLE film_actor (
  actor_id SMALLINT UNSIGNED NOT NULL, film_id SMALLINT UNSIGNED NOT NULL, last_update TIMESTAMP NOT NULL DEFAULT '2024-01-01 00:00:00',
  PRIMARY KEY (actor_id, film_id),
  CONSTRAINT fk_film_actor_actor FOREIGN KEY (actor_id) REFERENCES actor (actor_id),
  CONSTRAINT fk_film_actor_film FOREIGN KEY (film_id) REFERENCES film (film_id)
);
CREATE TABLE film_category (
  film_id SMALLINT UNSIGNED NOT NULL, category_id TINYINT UNSIGNED NOT NULL, PRIMARY KEY (film_id, category_id),
  CONSTRAINT fk_film_category_film FOREIGN KEY (film_id) REFERENCES film (film_id),
  CONSTRAINT fk_film_category_category FOREIGN KEY (category_id) REFERENCES category (category_id)
);
CREATE TABLE store (store_id TINYINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, manager_staff_id TINYINT UNSIGNED, address_id SMALLINT UNSIGNED NOT NULL);
CREATE TABLE staff (
  staff_id TINYINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, first_name VARCHAR(45) NOT NULL, address_id SMALLINT UNSIGNED NOT NULL,
  picture LONGBLOB, email VARCHAR(50), store_id TINYINT UNSIGNED NOT NULL, username VARCHAR(16), password VARCHAR(40),
  CONSTRAINT fk_staff_store FOREIGN KEY (store_id) REFERENCES store (store_id),
  CONSTRAINT fk_staff_address FOREIGN KEY (address_id) REFERENCES address (address_id)
);
ALTER TABLE store
  ADD CONSTRAINT fk_store_staff FOREIGN KEY (manager_staff_id) REFERENCES staff (staff_id),
  ADD CONSTRAINT fk_store_address FOREIGN KEY (address_id) REFERENCES address (address_id);
CREATE TABLE customer (
  customer_id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, store_id TINYINT UNSIGNED NOT NULL, first_name VARCHAR(45) NOT NULL,
  email VARCHAR(50), address_id SMALLINT UNSIGNED NOT NULL, active BOOLEAN NOT NULL DEFAULT TRUE,
  CONSTRAINT fk_customer_address FOREIGN KEY (address_id) REFERENCES address (address_id),
  CONSTRAINT fk_customer_store FOREIGN KEY (store_id) REFERENCES store (store_id)
);
CREATE TABLE inventory (
  inventory_id MEDIUMINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, film_id SMALLINT UNSIGNED NOT NULL, store_id TINYINT UNSIGNED NOT NULL,
  CONSTRAINT fk_inventory_film FOREIGN KEY (film_id) REFERENCES film (film_id),
  CONSTRAINT fk_inventory_store FOREIGN KEY (store_id) REFERENCES store (store_id)
);
CREATE TABLE rental (
  rental_id INT AUTO_INCREMENT PRIMARY KEY, rental_date DATETIME NOT NULL, inventory_id MEDIUMINT UNSIGNED NOT NULL,
  customer_id SMALLINT UNSIGNED NOT NULL, return_date DATETIME, staff_id TINYINT UNSIGNED NOT NULL,
  CONSTRAINT fk_rental_inventory FOREIGN KEY (inventory_id) REFERENCES inventory (inventory_id),
  CONSTRAINT fk_rental_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id),
  CONSTRAINT fk_rental_staff FOREIGN KEY (staff_id) REFERENCES staff (staff_id)
);
CREATE TABLE payment (
  payment_id SMALLINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, customer_id SMALLINT UNSIGNED NOT NULL, staff_id TINYINT UNSIGNED NOT NULL,
  rental_id INT, amount DECIMAL(5,2) NOT NULL, payment_date DATETIME NOT NULL,
  CONSTRAINT fk_payment_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id),
  CONSTRAINT fk_payment_staff FOREIGN KEY (staff_id) REFERENCES staff (staff_id),
  CONSTRAINT fk_payment_rental FOREIGN KEY (rental_id) REFERENCES rental (rental_id)
);
CREATE VIEW film_list AS SELECT film_id, title FROM film;
INSERT INTO country VALUES (1, 'Norway'), (2, 'Peru');
INSERT INTO city VALUES (1, 'Bergen', 1), (2, 'Lima', 2);
INSERT INTO address VALUES (1, 'Quay 1', 'West', '5003', '1', 1, POINT(1, 2)), (2, 'Road 2', 'East', NULL, '2', 2, NULL), (3, 'Hill 3', NULL, '7', NULL, 2, NULL);
INSERT INTO language VALUES (1, 'English'), (2, 'Norsk');
INSERT INTO actor (actor_id, first_name, last_name) VALUES (1, 'Ada', 'Berg'), (2, 'Bo', 'Cruz'), (3, 'Cy', 'Dahl');
INSERT INTO category VALUES (1, 'Drama'), (2, 'Comedy');
INSERT INTO film (film_id, title, description, release_year, language_id, original_language_id, special_features) VALUES
  (1, 'Tide', 'A mill.', 2001, 1, 2, 'Trailers'), (2, 'Ebb', NULL, 1999, 1, NULL, 'Trailers,Commentaries'), (3, 'Flow', 'Water.', NULL, 2, NULL, NULL);
INSERT INTO film_actor (actor_id, film_id) VALUES (1, 1), (2, 1), (3, 1), (1, 2);
INSERT INTO film_category VALUES (1, 1), (1, 2), (3, 2);
INSERT INTO store VALUES (1, NULL, 1), (2, NULL, 2);
INSERT INTO staff VALUES (1, 'Eve', 1, x'00ff', 'eve@example.com', 1, 'eve', 'x'), (2, 'Fay', 2, NULL, NULL, 2, 'fay', NULL);
UPDATE store SET manager_staff_id = store_id;
INSERT INTO customer (customer_id, store_id, first_name, email, address_id) VALUES (1, 1, 'Gil', 'gil@example.com', 3), (2, 2, 'Hao', NULL, 2);
INSERT INTO inventory VALUES (1, 1, 1), (2, 1, 2), (3, 2, 1);
INSERT INTO rental VALUES (1, '2024-01-01 10:00:00', 1, 1, '2024-01-03 10:00:00', 1), (2, '2024-01-02 10:00:00', 3, 1, NULL, 2), (3, '2024-01-04 11:00:00', 1, 2, NULL, 1);
INSERT INTO payment VALUES (1, 1, 1, 1, 4.99, '2024-01-01 10:01:00'), (2, 1, 2, 2, 0.99, '2024-01-02 10:01:00'), (3, 2, 1, NULL, 2.50, '2024-01-05 10:01:00');
