-- psql as it was before the file, whatever that has set.
\set ON_ERROR_STOP on
\set SINGLELINE off
\set SINGLESTEP off
\set ON_ERROR_ROLLBACK off
\set AUTOCOMMIT on
\set FETCH_COUNT 0
\set VERBOSITY verbose
\set ECHO errors
\o
\cd :cutoverd_folder
