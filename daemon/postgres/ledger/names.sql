-- a table of its own: to write it must not wait for a running step
CREATE TABLE IF NOT EXISTS cutoverd.anchor (
    run text PRIMARY KEY,
    seq bigint NOT NULL,
    hash text NOT NULL
);

CREATE TABLE IF NOT EXISTS cutoverd.database_oids (
    run text NOT NULL,
    role text NOT NULL CHECK (role IN ('old', 'new', 'placeholder')),
    oid oid NOT NULL,
    row jsonb NOT NULL,
    PRIMARY KEY (run, role)
);

-- CREATE DATABASE is in no transaction: its name is announced here first, so that a later daemon knows it as ours
CREATE TABLE IF NOT EXISTS cutoverd.announced (
    run text NOT NULL,
    name text NOT NULL,
    epoch bigint NOT NULL,
    oid oid, -- of the database, once it is made
    PRIMARY KEY (run, name)
);

CREATE TABLE IF NOT EXISTS cutoverd.counters (
    run text NOT NULL,
    moment text NOT NULL CHECK (moment IN ('opened', 'closed', 'exchanged')),
    seen jsonb NOT NULL,
    PRIMARY KEY (run, moment)
);

-- the epoch of whoever is about to take a run: the fence row stays locked while a step of the older daemon runs
CREATE TABLE IF NOT EXISTS cutoverd.claims (
    run text PRIMARY KEY,
    epoch bigint NOT NULL
);

-- while there is a row, nobody but these roles and ours may connect to new
CREATE TABLE IF NOT EXISTS cutoverd.withheld (
    run text PRIMARY KEY,
    but_for jsonb NOT NULL
);

-- whoever was met in new while CONNECT was withheld from him, a superuser say: he may have written and left
CREATE TABLE IF NOT EXISTS cutoverd.outsiders (
    run text NOT NULL,
    role text NOT NULL,
    PRIMARY KEY (run, role)
);

-- what each service and door was before the window, by the step that looked: the way back knows it without the journal
CREATE TABLE IF NOT EXISTS cutoverd.found (
    run text NOT NULL,
    step text NOT NULL,
    evidence jsonb NOT NULL,
    PRIMARY KEY (run, step)
);

-- production was, or is being, taken back without the journal: a journal that comes back later does not go forward
CREATE TABLE IF NOT EXISTS cutoverd.taken_back (
    run text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    accepts_loss boolean NOT NULL,
    reason text NOT NULL,
    counted jsonb NOT NULL,
    finished timestamptz
);

-- what makes a message on a run's subject one of ours; made here, so that it is in no statement of ours and in no log
CREATE TABLE IF NOT EXISTS cutoverd.journal_key (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    secret bytea NOT NULL,
    unsigned_runs text[] NOT NULL -- begun before there was a key
);
REVOKE ALL ON cutoverd.journal_key FROM PUBLIC;
INSERT INTO cutoverd.journal_key (secret, unsigned_runs)
SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), coalesce(array_agg(run), '{}') FROM cutoverd.fence
ON CONFLICT DO NOTHING;

-- every event as the stream has acknowledged it: a stream that is lost is made again from here
CREATE TABLE IF NOT EXISTS cutoverd.journal_copy (
    run text NOT NULL,
    n bigint NOT NULL,
    seq bigint NOT NULL,
    hash text NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (run, n)
);

-- rehearsals that found nothing wrong, by what they were made with: PreCheck wants one, or makes it
CREATE TABLE IF NOT EXISTS cutoverd.rehearsals (
    database text NOT NULL,
    identity text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    made_by text NOT NULL,
    seconds jsonb NOT NULL, -- by rehearsed step
    parts jsonb NOT NULL DEFAULT '{}', -- seconds of dump and restore, by name
    production_bytes bigint, -- at that time
    place text NOT NULL DEFAULT '', -- of a copy that the team has made; '': of the backup that was restored
    is_elsewhere boolean NOT NULL DEFAULT false, -- on another server than production's
    catalog jsonb NOT NULL DEFAULT '{}', -- a hash of each object of production, by what it is
    PRIMARY KEY (database, identity)
);
