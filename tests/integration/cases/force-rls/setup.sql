\ir item.sql
SET ROLE app_owner;
ALTER TABLE public.item ADD tenant int DEFAULT 1;
ALTER TABLE public.item ENABLE ROW LEVEL SECURITY; ALTER TABLE public.item FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON public.item USING (tenant = nullif(current_setting('app.tenant', true), '')::int);
