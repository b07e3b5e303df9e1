-- Revenue by product category and customer state.
SELECT p.product_category_name AS category, c.customer_state AS state, sum(i.price) AS revenue, count(*) AS items
FROM shop.ecom_orders o
JOIN shop.ecom_order_items i ON i.order_id = o.order_id
JOIN shop.ecom_customers c ON c.customer_id = o.customer_id
LEFT JOIN shop.ecom_products p ON p.product_id = i.product_id
GROUP BY p.product_category_name, c.customer_state
