\ir item.sql
SET ROLE app_owner;
ALTER TABLE public.item ADD tenant text DEFAULT 'a';
INSERT INTO public.item(name, tenant) VALUES ('secret of b', 'b');
ALTER TABLE public.item ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON public.item TO app_user USING (tenant = 'a');
GRANT SELECT ON public.item TO app_user;
