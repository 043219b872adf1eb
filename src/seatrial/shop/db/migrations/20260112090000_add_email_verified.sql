-- migrate:up
-- Remember which addresses were confirmed.
ALTER TABLE users ADD COLUMN email_verified integer NOT NULL DEFAULT 0;
CREATE INDEX users_last_seen_idx ON users (last_seen);

-- migrate:down
DROP INDEX users_last_seen_idx;
ALTER TABLE users DROP COLUMN email_verified;
