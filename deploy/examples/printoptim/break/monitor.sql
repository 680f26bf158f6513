-- Somebody tidies up rights an hour after the cutover: the new version has no answer any more.
REVOKE SELECT ON fleet.tb_machine FROM printoptim_app;
