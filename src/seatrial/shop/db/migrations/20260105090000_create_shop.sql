-- migrate:up
-- The shop's first tables.
CREATE TABLE users (
  id integer PRIMARY KEY,
  email text NOT NULL UNIQUE,
  name text,
  last_seen text
);
CREATE TABLE products (
  id integer PRIMARY KEY AUTOINCREMENT,
  sku text NOT NULL UNIQUE,
  name text NOT NULL,
  price numeric NOT NULL CHECK (price >= 0)
);
CREATE INDEX products_name_idx ON products (name);
CREATE TABLE orders (
  id integer PRIMARY KEY,
  user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  placed_at text NOT NULL,
  completed_at text
);
CREATE TABLE order_items (
  id integer PRIMARY KEY,
  order_id integer NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
  product_id integer NOT NULL REFERENCES products (id),
  quantity integer NOT NULL CHECK (quantity > 0)
);
CREATE TABLE sessions (
  token text PRIMARY KEY,
  user_id integer REFERENCES users (id) ON DELETE SET NULL,
  started_at text NOT NULL
);

-- migrate:down
DROP TABLE sessions;
DROP TABLE order_items;
DROP TABLE orders;
DROP TABLE products;
DROP TABLE users;
