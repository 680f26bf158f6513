\ir item.sql
\c app
CREATE PROCEDURE public.load() LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM public.item WHERE id = 0;
  COMMIT;
END $$;
