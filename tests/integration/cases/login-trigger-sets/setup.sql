\ir item.sql
CREATE FUNCTION public.at_login() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    SET default_transaction_read_only = on;
    SET search_path = nowhere;
    SET DateStyle = 'German';
    SET statement_timeout = '200ms';
    SET default_transaction_isolation = 'serializable';
END $$;
CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION public.at_login();
ALTER EVENT TRIGGER at_login ENABLE ALWAYS;
