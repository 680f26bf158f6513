-- An error that the file went on after: psql keeps the SQLSTATE of the last one, also when stopping was switched on again.
SELECT :'LAST_ERROR_SQLSTATE' OPERATOR(pg_catalog.=) '00000' AS cutoverd_clean,
       pg_catalog.set_config('cutoverd.sqlstate', :'LAST_ERROR_SQLSTATE', false) AS cutoverd_failed \gset
\if :cutoverd_clean
\else
DO $$BEGIN RAISE EXCEPTION '%', pg_catalog.current_setting('cutoverd.sqlstate') USING ERRCODE = 'CV004'; END$$;
\endif
