\ir item.sql
ALTER ROLE app_user IN DATABASE app SET search_path = shop, public;
GRANT SELECT ON public.item TO app_user;
