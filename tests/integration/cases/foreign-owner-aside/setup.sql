\ir item.sql
CREATE TABLE public.note (id serial primary key, t text); INSERT INTO public.note (t) VALUES ('x');
