DROP INDEX file_by_status;
CREATE INDEX file_by_status ON file (status, samples);
