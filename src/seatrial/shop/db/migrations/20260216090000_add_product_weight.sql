-- migrate:up
-- Weights for shipping, by a rebuild. (Bad on purpose: the CHECK and the index are forgotten.)
ALTER TABLE products RENAME TO products_old;
CREATE TABLE products (
  id integer PRIMARY KEY AUTOINCREMENT,
  sku text NOT NULL UNIQUE,
  name text NOT NULL,
  price numeric NOT NULL,
  weight_g integer
);
INSERT INTO products (id, sku, name, price) SELECT id, sku, name, price FROM products_old;
DROP TABLE products_old;

-- migrate:down
ALTER TABLE products DROP COLUMN weight_g;
