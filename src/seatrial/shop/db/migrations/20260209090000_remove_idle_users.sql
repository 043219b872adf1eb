-- migrate:up
-- Users who never came back. (Bad on purpose: their orders go with them, and down brings back only the users.)
CREATE TABLE idle_users AS SELECT * FROM users WHERE last_seen < '2024-02-01' AND id NOT IN (SELECT user_id FROM vouchers);
DELETE FROM users WHERE id IN (SELECT id FROM idle_users);

-- migrate:down
INSERT INTO users (id, email, name, last_seen, email_verified)
  SELECT id, email, name, last_seen, email_verified FROM idle_users;
DROP TABLE idle_users;
