-- by their full names: in new it is made with the database's own search_path, for its event triggers run then
CREATE SCHEMA IF NOT EXISTS cutoverd;

CREATE TABLE IF NOT EXISTS cutoverd.fence (
    run pg_catalog.text PRIMARY KEY,
    epoch bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS cutoverd.step_log (
    run pg_catalog.text NOT NULL,
    step pg_catalog.text NOT NULL,
    direction pg_catalog.text NOT NULL,
    epoch bigint NOT NULL,
    event_id pg_catalog.text NOT NULL,
    at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    finished boolean NOT NULL DEFAULT false,
    evidence pg_catalog.jsonb,
    PRIMARY KEY (run, step, direction)
);
