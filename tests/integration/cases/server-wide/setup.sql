\ir item.sql
CREATE ROLE new_owner;
GRANT new_owner TO app_owner, cutover;
