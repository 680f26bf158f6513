CREATE SCHEMA common;
CREATE SCHEMA crm;
CREATE SCHEMA fleet;
CREATE SCHEMA billing;
CREATE SCHEMA migration;

COMMENT ON SCHEMA common IS 'Functions and lists that every domain uses.';
COMMENT ON SCHEMA crm IS 'Customers, their sites and people.';
COMMENT ON SCHEMA fleet IS 'Machines, what they count, and what is done to them.';
COMMENT ON SCHEMA billing IS 'Contracts, invoices, payments and orders.';
COMMENT ON SCHEMA migration IS 'What of the old rows has no place in the new tables; the application never reads it.';
