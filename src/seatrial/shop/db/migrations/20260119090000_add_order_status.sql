-- migrate:up
-- Every order says where it stands.
ALTER TABLE orders ADD COLUMN status text NOT NULL DEFAULT 'pending';
UPDATE orders SET status = 'completed' WHERE completed_at IS NOT NULL;
CREATE INDEX orders_status_idx ON orders (status);

-- migrate:down
DROP INDEX orders_status_idx;
ALTER TABLE orders DROP COLUMN status;
