-- 2 January, in this database's order; and not in any transaction but a read-write one
INSERT INTO shop.tb_item SELECT id, name || ' ' || date_part('month', '02/01/2026'::date) FROM public.item;
DROP TABLE public.item;
