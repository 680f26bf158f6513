\ir item.sql
ALTER ROLE cutover SET session_replication_role = 'replica';
