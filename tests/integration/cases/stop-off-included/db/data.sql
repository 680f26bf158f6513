\i db/settings.sql
INSERT INTO shop.tb_item SELECT id, name FROM public.item;
DROP TABLE public.item;
