CREATE DATABASE app OWNER app_owner ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
\c app
SET ROLE app_owner;
CREATE TABLE public.item (id int generated always as identity primary key, name text);
INSERT INTO item(name) SELECT 'n'||g FROM generate_series(1,10) g;
