-- Every statement answers with `check` and `ok`; a row that is not ok fails the run.

-- Each subject has as many rows as the old database counted.
WITH found (subject, rows) AS (
    SELECT 'flights', count(*) FROM operations.tb_flight
    UNION ALL
    SELECT 'flights without a tail number', count(*) FROM operations.tb_flight WHERE fk_aircraft IS NULL
    UNION ALL
    SELECT 'flights of unregistered aircraft', count(*) FROM operations.tb_flight
    JOIN fleet.tb_aircraft ON pk_aircraft = fk_aircraft WHERE NOT registered
    UNION ALL
    SELECT 'flights of registered aircraft', count(*) FROM operations.tb_flight
    JOIN fleet.tb_aircraft ON pk_aircraft = fk_aircraft WHERE registered
    UNION ALL
    SELECT 'flights to inferred airports', count(*) FROM operations.tb_flight
    JOIN reference.tb_airport ON pk_airport = fk_destination WHERE source = 'inferred'
    UNION ALL
    SELECT 'flights that never left', count(*) FROM operations.tb_flight WHERE status = 'cancelled'
    UNION ALL
    SELECT 'airlines', count(*) FROM reference.tb_airline
    UNION ALL
    SELECT 'airports', count(*) FROM reference.tb_airport WHERE source = 'register'
    UNION ALL
    SELECT 'aircraft', count(*) FROM fleet.tb_aircraft WHERE registered
    UNION ALL
    SELECT 'observations', count(*) FROM weather.tb_observation
    UNION ALL
    SELECT 'observations of a second hour', count(*) FROM weather.tb_observation WHERE fold = 1
    UNION ALL
    SELECT 'impossible winds', count(*) FROM weather.tb_suspect_reading
    UNION ALL
    SELECT 'notes', count(*) FROM operations.tb_note
    UNION ALL
    SELECT 'note numbers given out', last_value FROM operations.tb_note_pk_note_seq WHERE is_called
)
SELECT
    subject || ': old ' || coalesce(tally.rows::text, 'not counted') || ', new ' || coalesce(found.rows::text, 'not counted')
        AS "check",
    tally.rows IS NOT DISTINCT FROM found.rows AS ok
FROM migration.tb_tally tally
FULL JOIN found USING (subject)
ORDER BY subject;

-- The three kinds of flights make up all of them, so each is in exactly one.
SELECT
    'every flight is of a registered aircraft, of an unregistered one, or without a tail number' AS "check",
    sum(rows) FILTER (WHERE subject <> 'flights') = sum(rows) FILTER (WHERE subject = 'flights') AS ok
FROM migration.tb_tally
WHERE subject IN (
    'flights', 'flights without a tail number', 'flights of unregistered aircraft', 'flights of registered aircraft');

-- Nothing was inferred that no flight asked for.
SELECT
    'airport ' || identifier || ' was inferred from a flight' AS "check",
    EXISTS (SELECT FROM operations.tb_flight WHERE pk_airport IN (fk_origin, fk_destination)) AS ok
FROM reference.tb_airport
WHERE source = 'inferred'
ORDER BY identifier;

SELECT
    'every unregistered aircraft is named by a flight' AS "check",
    NOT EXISTS (
        SELECT FROM fleet.tb_aircraft
        WHERE NOT registered AND NOT EXISTS (SELECT FROM operations.tb_flight WHERE fk_aircraft = pk_aircraft)) AS ok;

-- The clock and the delay say the same: 05:15 and two minutes late is 05:17.
SELECT
    'departures are as late as their delay says' AS "check",
    NOT EXISTS (
        SELECT FROM operations.tb_flight
        JOIN reference.tb_airport origin ON pk_airport = fk_origin
        WHERE departure - (scheduled_departure AT TIME ZONE time_zone)::time - make_interval(mins => departure_delay_minutes)
            NOT IN ('0', '24 hours', '-24 hours')) AS ok;

-- The day that a flight is listed under is the day of its departure.
SELECT
    'flights are listed under their day' AS "check",
    NOT EXISTS (
        SELECT FROM operations.tb_flight
        JOIN reference.tb_airport origin ON pk_airport = fk_origin
        WHERE (scheduled_departure AT TIME ZONE time_zone)::date <> flight_date) AS ok;

SELECT
    'the old tables are gone' AS "check",
    count(*) = 0 AS ok
FROM pg_tables
WHERE schemaname = 'public';
