SELECT customer_id FROM shop.ecom_customers
