-- The old system: flat tables as they grew, no keys, no constraints, moments as text, clock times as numbers (517 is 05:17).
CREATE TABLE public.airlines (
    carrier text,
    name    text
);

CREATE TABLE public.airports (
    faa   text,
    name  text,
    lat   double precision,
    lon   double precision,
    alt   integer,
    tz    integer,
    dst   text,
    tzone text
);

CREATE TABLE public.planes (
    tailnum      text,
    year         integer,
    type         text,
    manufacturer text,
    model        text,
    engines      integer,
    seats        integer,
    speed        integer,
    engine       text
);

CREATE TABLE public.flights (
    year           integer,
    month          integer,
    day            integer,
    dep_time       integer,
    sched_dep_time integer,
    dep_delay      double precision,
    arr_time       integer,
    sched_arr_time integer,
    arr_delay      double precision,
    carrier        text,
    flight         integer,
    tailnum        text,
    origin         text,
    dest           text,
    air_time       double precision,
    distance       double precision,
    hour           integer,
    minute         integer,
    time_hour      text
);

CREATE TABLE public.weather (
    origin     text,
    year       integer,
    month      integer,
    day        integer,
    hour       integer,
    temp       double precision,
    dewp       double precision,
    humid      double precision,
    wind_dir   integer,
    wind_speed double precision,
    wind_gust  double precision,
    precip     double precision,
    pressure   double precision,
    visib      double precision,
    time_hour  text
);

CREATE SEQUENCE public.notes_seq;

CREATE TABLE public.notes (
    id          integer DEFAULT nextval('public.notes_seq'),
    carrier     text,
    flight      integer,
    flight_date text,
    note        text,
    written     text DEFAULT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
);

INSERT INTO public.notes (carrier, flight, flight_date, note, written) VALUES
    ('UA', 1545, '2013-01-01', 'Left two minutes late, nobody noticed.', '2013-01-01T11:02:03.000004Z'),
    ('HA', 51, '2013-01-09', 'The latest of the year: 1301 minutes.', '2013-01-10T15:00:00.000000Z'),
    ('B6', 725, '2013-01-01', 'Crew asked for "more coffee"; see backslash \ and naïve café.', '2013-01-01T12:30:00.500000Z'),
    ('MQ', 3944, '2013-01-02', NULL, '2013-01-02T05:00:00.000000Z'),
    ('MQ', 3944, '2013-01-02', 'Withdrawn.', '2013-01-02T05:00:01.000000Z');

DELETE FROM public.notes WHERE note = 'Withdrawn.';  -- its number was given out all the same

GRANT SELECT ON ALL TABLES IN SCHEMA public TO flights_app;
GRANT INSERT ON public.notes TO flights_app;
GRANT USAGE ON SEQUENCE public.notes_seq TO flights_app;
