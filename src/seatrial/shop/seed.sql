-- Some thousand rows for the shop, the same ones each time.
PRAGMA foreign_keys = on;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 800)
INSERT INTO users (id, email, name, last_seen)
SELECT i + 1000,
       CASE i % 9 WHEN 0 THEN 'User' || i || '@Example.COM' ELSE 'user' || i || '@example.com' END,
       CASE i % 7 WHEN 0 THEN NULL ELSE 'User ' || i END,
       date('2024-01-01', '+' || (i * 37 % 900) || ' days')
  FROM n;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120)
INSERT INTO products (id, sku, name, price)
SELECT i * 3, printf('SKU-%05d', i), 'Product ' || i, (i * 775 % 10000) / 100.0 FROM n;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
INSERT INTO orders (id, user_id, placed_at, completed_at)
SELECT 50000 + i, 1001 + (i * 7 + i * i % 5) % 800, datetime('2025-01-01', '+' || i || ' hours'),
       CASE WHEN i % 4 THEN datetime('2025-01-02', '+' || i || ' hours') END
  FROM n;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
INSERT INTO order_items (id, order_id, product_id, quantity)
SELECT 90000 + i, 50001 + i % 1500, 3 + 3 * (i * 7 % 120), 1 + i % 5 FROM n;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
INSERT INTO sessions (token, user_id, started_at)
SELECT printf('%08x', i * 2654435 % 4294967296), CASE i % 11 WHEN 0 THEN NULL ELSE 1001 + i % 800 END,
       datetime('2026-01-01', '+' || i || ' minutes')
  FROM n;
-- Three rows that the schema refuses, as exports have them (Seatrial repairs them, and says how): an order whose user was
-- not exported, a product without the name that it must have, a user whose number is taken.
INSERT INTO orders (id, user_id, placed_at, completed_at) VALUES
  (60001, 1005, '2025-03-01 09:00:00', '2025-03-02 10:00:00'),
  (60002, 4711, '2025-03-01 09:30:00', NULL);
INSERT INTO products (id, sku, name, price) VALUES (900, 'SKU-00900', NULL, 12.50);
INSERT INTO users (id, email, name) VALUES (1800, 'twice@example.com', 'The Same Number Again');
