INSERT INTO shop.tb_item SELECT id, name FROM public.item;
DROP TABLE public.item;
SELECT pg_sleep(0.5);  -- longer than the trigger lets a statement take
