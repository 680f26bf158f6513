-- Somebody tidies up rights an hour after the cutover: the new version has no answer any more.
REVOKE SELECT ON reference.tb_airline FROM flights_app;
