\ir item.sql
SET ROLE app_owner;
CREATE FUNCTION public.purge() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT 1';
REVOKE ALL ON FUNCTION public.purge() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.purge() TO app_user;
