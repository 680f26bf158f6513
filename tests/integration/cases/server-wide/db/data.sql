INSERT INTO shop.tb_item SELECT id, name FROM public.item;
DROP TABLE public.item;
GRANT CREATE ON DATABASE app TO app_user;
