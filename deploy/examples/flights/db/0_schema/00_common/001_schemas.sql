CREATE SCHEMA common;
CREATE SCHEMA reference;
CREATE SCHEMA fleet;
CREATE SCHEMA operations;
CREATE SCHEMA weather;
CREATE SCHEMA migration;

COMMENT ON SCHEMA common IS 'Functions that every domain uses.';
COMMENT ON SCHEMA reference IS 'Airlines and airports.';
COMMENT ON SCHEMA fleet IS 'Aircraft and their models.';
COMMENT ON SCHEMA operations IS 'Flights, and what the crew notes about them.';
COMMENT ON SCHEMA weather IS 'What the airports measured.';
COMMENT ON SCHEMA migration IS 'What the old database held, counted before its tables went; the application never reads it.';
