-- What the daemon's role needs, and no more: it is no superuser. A superuser runs this once. A string.Template.
ALTER ROLE cutover CREATEDB;
GRANT $owner TO cutover WITH INHERIT TRUE, SET TRUE;
GRANT pg_signal_backend, pg_monitor, pg_read_all_data, pg_checkpoint TO cutover;
