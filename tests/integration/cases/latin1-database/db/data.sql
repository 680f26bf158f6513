INSERT INTO shop.tb_item SELECT id, name FROM public.item;
UPDATE shop.tb_item SET name = 'für alle' WHERE pk_item = 999;
UPDATE shop.tb_item SET name = '5 €' WHERE pk_item = 999;
DROP TABLE public.item;
