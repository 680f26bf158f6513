INSERT INTO shop.tb_item SELECT id, name, tenant FROM public.item;
DROP TABLE public.item;
CREATE VIEW public.item WITH (security_invoker) AS SELECT pk_item AS id, name, tenant FROM shop.tb_item;
GRANT SELECT ON public.item TO app_user;
