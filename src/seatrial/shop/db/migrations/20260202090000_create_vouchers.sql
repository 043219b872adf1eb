-- migrate:up
-- Vouchers for regular customers.
CREATE TABLE vouchers (
  code text PRIMARY KEY,
  user_id integer NOT NULL REFERENCES users (id),
  percent integer NOT NULL CHECK (percent BETWEEN 1 AND 100)
);
INSERT INTO vouchers (code, user_id, percent)
  SELECT 'THANKS-' || user_id, user_id, 10 FROM orders GROUP BY user_id HAVING count(*) >= 4;

-- migrate:down
DROP TABLE vouchers;
