CREATE TABLE tbl_customers (customer_id INT UNSIGNED PRIMARY KEY, customer_name VARCHAR(60), phone VARCHAR(30)) ENGINE=MyISAM;
CREATE TABLE tbl_products (id INT UNSIGNED PRIMARY KEY, code VARCHAR(20) NOT NULL UNIQUE, name VARCHAR(60), category_id INT);
CREATE TABLE tbl_categories (id INT PRIMARY KEY, name VARCHAR(60), parent_id INT NOT NULL DEFAULT 0);
CREATE TABLE tbl_addresses (id INT PRIMARY KEY, street VARCHAR(60));
CREATE TABLE tbl_statuses (id INT PRIMARY KEY, name VARCHAR(20));
CREATE TABLE tbl_orders (
  order_id BIGINT PRIMARY KEY, customer_id INT, billing_address_id INT, status_id INT, note TEXT, sales_region VARCHAR(5)
);
CREATE TABLE tbl_order_lines (order_id BIGINT, line_no SMALLINT, product_id BIGINT, quantity INT, PRIMARY KEY (order_id, line_no));
CREATE TABLE tbl_shipments (id INT PRIMARY KEY, order_id BIGINT, line_no SMALLINT, product_code VARCHAR(20), sent_on DATE);
CREATE TABLE tbl_order_tags (order_id BIGINT, tag_id INT, PRIMARY KEY (order_id, tag_id));
CREATE TABLE tbl_tags (id INT PRIMARY KEY, name VARCHAR(20));
CREATE TABLE tbl_audit (happened_at DATETIME, what VARCHAR(100));
INSERT INTO tbl_customers VALUES (1, 'Ada', '1'), (2, 'Bo', NULL);
INSERT INTO tbl_categories VALUES (1, 'Parts', 0), (2, 'Heavy', 1);
INSERT INTO tbl_products VALUES (1, 'ST', 'Stone', 2), (2, 'SA', 'Sail', 1), (3, 'RO', 'Rope', 0);
INSERT INTO tbl_addresses VALUES (1, 'Quay 1'), (2, 'Road 2');
INSERT INTO tbl_statuses VALUES (1, 'new'), (2, 'paid');
INSERT INTO tbl_orders VALUES (1, 1, 1, 700, 'fast', 'N'), (2, 1, 2, 701, NULL, 'S'), (3, 2, 0, 702, NULL, NULL);
INSERT INTO tbl_order_lines VALUES (1, 1, 1, 5), (1, 2, 2, 1), (2, 1, 1, 7), (3, 1, NULL, 1);
INSERT INTO tbl_shipments VALUES (1, 1, 1, 'ST', '2024-01-05'), (2, 1, 1, 'st', '2024-01-06'), (3, 2, 1, 'SA', NULL), (4, 3, 1, 'RO', NULL);
INSERT INTO tbl_tags VALUES (1, 'rush'), (2, 'gift');
INSERT INTO tbl_order_tags VALUES (1, 1), (1, 2), (3, 2);
INSERT INTO tbl_audit VALUES ('2024-01-01', 'started');
