-- migrate:up
-- The oldest sessions are ended. (There is no way back and none is wanted: seatrial.toml waives it.)
DELETE FROM sessions WHERE started_at < '2026-01-01 00:15:00';
