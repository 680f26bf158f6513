INSERT INTO shop.tb_item SELECT id, name FROM public.item;
\copy shop.tb_item from 'db/more.csv' with (format csv)
DROP TABLE public.item;
