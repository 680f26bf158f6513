-- Run once by a superuser. Passwords are none of this file's business.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'flights_owner') THEN
        CREATE ROLE flights_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'flights_app') THEN
        CREATE ROLE flights_app LOGIN;
    END IF;
END
$$;
