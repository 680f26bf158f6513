\ir item.sql
CREATE TABLE public.attachment (id int primary key, body oid);
ALTER TABLE public.attachment OWNER TO app_owner;
SET ROLE app_user; SELECT lo_from_bytea(4711, 'scan') \g /dev/null
RESET ROLE; INSERT INTO public.attachment VALUES (1, 4711);
