\ir item.sql
CREATE EXTENSION pg_stat_statements;
CREATE VIEW public.slow_queries AS SELECT query, calls FROM pg_stat_statements;
