-- Run once by a superuser. Passwords are none of this file's business.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'flights_owner') THEN
        CREATE ROLE flights_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'flights_app') THEN
        CREATE ROLE flights_app LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'flights_smoke') THEN
        CREATE ROLE flights_smoke LOGIN;  -- of the service in test mode: what it writes is known to be a test's
    END IF;
END
$$;
GRANT flights_app TO flights_smoke;
