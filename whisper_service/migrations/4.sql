-- Errors that clients handle differently have a code beside their text.

ALTER TABLE transcription
ADD COLUMN error_code TEXT CHECK (error_code IS NULL OR error IS NOT NULL);

UPDATE transcription SET error_code = 'insufficient_balance'
WHERE error LIKE 'Insufficient token balance. Required: %';
