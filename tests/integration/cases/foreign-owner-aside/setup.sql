\ir item.sql
CREATE TABLE public.note (id int primary key, t text); INSERT INTO public.note VALUES (1,'x');
