\ir item.sql
\c app
INSERT INTO public.item OVERRIDING SYSTEM VALUE VALUES (32767, 'unknown');
