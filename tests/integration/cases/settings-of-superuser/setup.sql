\ir item.sql
ALTER DATABASE app SET session_preload_libraries = 'auto_explain';
ALTER DATABASE app SET auto_explain.log_min_duration = '1s';
ALTER DATABASE app SET log_min_duration_statement = '10s';
ALTER ROLE app_owner SET log_parser_stats = on;
