-- The last order of a category is the one with the greatest number.
SELECT category, count(*) AS orders, max(id) AS last_order
FROM shop.orders
GROUP BY category
