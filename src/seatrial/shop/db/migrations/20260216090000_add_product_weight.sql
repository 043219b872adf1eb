-- migrate:up transaction:false
-- Weights for shipping, by a rebuild. (Bad on purpose: the CHECK and the index are forgotten, and samples, which are never
-- shipped, are not copied, although they were sold.)
PRAGMA foreign_keys = off;
CREATE TABLE products_new (
  id integer PRIMARY KEY AUTOINCREMENT,
  sku text NOT NULL UNIQUE,
  name text NOT NULL,
  price numeric NOT NULL,
  weight_g integer
);
INSERT INTO products_new (id, sku, name, price) SELECT id, sku, name, price FROM products WHERE price >= 1;
DROP TABLE products;
ALTER TABLE products_new RENAME TO products;
PRAGMA foreign_keys = on;

-- migrate:down
ALTER TABLE products DROP COLUMN weight_g;
