-- migrate:up
-- One spelling for every address. (Bad on purpose: the old spelling is gone for good.)
UPDATE users SET email = lower(trim(email));

-- migrate:down
SELECT 1;
