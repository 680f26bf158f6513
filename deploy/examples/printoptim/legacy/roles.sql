-- Run once by a superuser. Passwords are none of this file's business.
DO $$
BEGIN
    IF to_regrole('printoptim_owner') IS NULL THEN
        CREATE ROLE printoptim_owner NOLOGIN;
    END IF;
    IF to_regrole('printoptim_app') IS NULL THEN
        CREATE ROLE printoptim_app LOGIN;
    END IF;
    IF to_regrole('printoptim_smoke') IS NULL THEN
        CREATE ROLE printoptim_smoke LOGIN;  -- of the service in test mode: what it writes is known to be a test's
    END IF;
END
$$;
GRANT printoptim_app TO printoptim_smoke;
