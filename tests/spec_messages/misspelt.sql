-- Customers by state.
SELECT customer_state,
       count(customer_idd) AS customers
FROM shop.ecom_customers
GROUP BY customer_state
