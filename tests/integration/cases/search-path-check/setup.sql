\ir item.sql
SET ROLE app_owner;
CREATE FUNCTION public.is_item(int) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT FROM item WHERE id = $1)';
CREATE TABLE public.line (id int, item int CHECK (is_item(item)));
INSERT INTO public.line VALUES (1, 1);
