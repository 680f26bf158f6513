\ir item.sql
ALTER DATABASE app SET datestyle = 'ISO, MDY';
ALTER ROLE app_owner SET datestyle = 'German, DMY';
ALTER ROLE app_owner IN DATABASE app SET search_path = shop, public;
ALTER ROLE app_owner SET "shop.tenant" = 'it''s a b\c';
ALTER ROLE app_owner SET statement_timeout = '1ms';
ALTER ROLE app_owner SET log_statement = 'none';
