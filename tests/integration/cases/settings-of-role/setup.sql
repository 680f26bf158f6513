\ir item.sql
CREATE SCHEMA evil;
CREATE FUNCTION evil.count() RETURNS bigint LANGUAGE sql AS 'SELECT 4711::bigint';
CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS $$SELECT 'evil'$$;
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT 'infinity'::timestamptz$$;
CREATE FUNCTION evil.hashtextextended(text, integer) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
CREATE VIEW evil.pg_database AS SELECT 1 AS nothing;
CREATE VIEW evil.pg_class AS SELECT 1 AS nothing;
CREATE VIEW evil.pg_settings AS SELECT 1 AS nothing;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
GRANT app_user TO cutover;
GRANT SELECT ON ALL TABLES IN SCHEMA evil TO PUBLIC;
ALTER ROLE cutover SET datestyle = 'SQL, DMY';
ALTER ROLE cutover SET intervalstyle = 'sql_standard';
ALTER ROLE cutover SET timezone = 'Pacific/Chatham';
ALTER ROLE cutover SET bytea_output = 'escape';
ALTER ROLE cutover SET extra_float_digits = -15;
ALTER ROLE cutover SET xmloption = 'document';
ALTER ROLE cutover SET transform_null_equals = on;
ALTER ROLE cutover SET array_nulls = off;
ALTER ROLE cutover SET default_transaction_isolation = 'serializable';
ALTER ROLE cutover SET default_transaction_deferrable = on;
ALTER ROLE cutover SET default_transaction_read_only = on;
ALTER ROLE cutover SET search_path = evil, pg_catalog, shop, public;
ALTER ROLE cutover SET row_security = on;
ALTER ROLE cutover SET quote_all_identifiers = on;
ALTER ROLE cutover SET statement_timeout = '1ms';
ALTER ROLE cutover SET lock_timeout = '1ms';
ALTER ROLE cutover SET idle_session_timeout = '50ms';
ALTER ROLE cutover SET idle_in_transaction_session_timeout = '1ms';
ALTER ROLE cutover SET synchronous_commit = off;
ALTER ROLE cutover SET stats_fetch_consistency = 'snapshot';
ALTER ROLE cutover SET client_encoding = 'LATIN1';
ALTER ROLE cutover SET role = 'app_user';
ALTER ROLE cutover SET lc_messages = 'C';
ALTER ROLE cutover SET client_min_messages = 'debug1';
ALTER ROLE cutover SET plan_cache_mode = 'force_custom_plan';
SELECT current_setting('server_version_num')::int >= 170000 AS knows_it \gset
\if :knows_it
ALTER ROLE cutover SET transaction_timeout = '1ms';
\endif
ALTER DATABASE app SET search_path = public;
ALTER DATABASE app SET datestyle = 'ISO, MDY';
