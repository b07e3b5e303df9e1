SELECT customer_state
FROM shop.ecom_customers
GROUP BY