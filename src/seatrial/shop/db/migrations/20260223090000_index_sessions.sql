-- migrate:up
-- Sessions are looked up by user.
CREATE INDEX sessions_user_idx ON sessions (user_id, started_at);

-- migrate:down
DROP INDEX sessions_user_idx;
