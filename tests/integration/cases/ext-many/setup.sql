\ir item.sql
CREATE EXTENSION moddatetime; CREATE EXTENSION bloom; CREATE EXTENSION file_fdw; CREATE EXTENSION dblink;
ALTER TABLE public.item ADD changed timestamp;
CREATE TRIGGER stamp BEFORE UPDATE ON public.item FOR EACH ROW EXECUTE FUNCTION moddatetime(changed);
CREATE INDEX item_bloom ON public.item USING bloom (id);
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE public.passwords (line text) SERVER files OPTIONS (filename '/etc/hostname');
CREATE VIEW public.elsewhere AS SELECT * FROM dblink('dbname=postgres', 'SELECT 1') AS t (id int);
CREATE FUNCTION public.sure(int) RETURNS boolean LANGUAGE sql IMMUTABLE LEAKPROOF AS 'SELECT $1 > 0';
CREATE FUNCTION public.ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION public.ddl();
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE USER MAPPING FOR app_user SERVER files;
CREATE USER MAPPING FOR PUBLIC SERVER files;
