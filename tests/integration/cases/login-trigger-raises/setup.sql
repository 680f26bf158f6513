\ir item.sql
CREATE FUNCTION public.at_login() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF session_user = 'cutover' THEN RAISE EXCEPTION 'not on Sundays'; END IF;
END $$;
CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION public.at_login();
ALTER EVENT TRIGGER at_login ENABLE ALWAYS;
