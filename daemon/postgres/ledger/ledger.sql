CREATE SCHEMA IF NOT EXISTS cutoverd;

CREATE TABLE IF NOT EXISTS cutoverd.fence (
    run text PRIMARY KEY,
    epoch bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS cutoverd.step_log (
    run text NOT NULL,
    step text NOT NULL,
    direction text NOT NULL,
    epoch bigint NOT NULL,
    event_id text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished boolean NOT NULL DEFAULT false,
    evidence jsonb,
    PRIMARY KEY (run, step, direction)
);
