"""Rows of pg_database and what hangs on them: rights, settings, creation, removal."""
