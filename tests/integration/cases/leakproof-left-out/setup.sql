\ir item.sql
CREATE FUNCTION public.sure(int) RETURNS boolean LANGUAGE sql IMMUTABLE LEAKPROOF AS 'SELECT $1 > 0';
ALTER TABLE public.item ADD CHECK (public.sure(id));
