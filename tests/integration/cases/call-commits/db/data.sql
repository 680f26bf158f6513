INSERT INTO shop.tb_item SELECT id, name FROM public.item;
CALL public.load();
DROP TABLE public.item;
