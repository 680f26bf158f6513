-- The old system wrote clock times as numbers: 517 is 05:17, and midnight at the end of a day is 2400, not 0.
CREATE FUNCTION common.clock_time(hhmm integer) RETURNS time
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN make_time(hhmm / 100, hhmm % 100, 0);

CREATE FUNCTION common.hhmm(clock_time time) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (extract(hour FROM clock_time) * 100 + extract(minute FROM clock_time))::integer;

-- The same row gets the same id in every rehearsal; rows that come later get random ones.
CREATE FUNCTION common.migrated_id(kind text, identifier text) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN md5(kind || '/' || identifier)::uuid;

-- Anemometers count whole knots. The old system multiplied by this and kept sixteen digits of the result.
CREATE FUNCTION common.miles_per_hour(knots smallint) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN knots * 1.15078::double precision;

CREATE FUNCTION common.knots(miles_per_hour double precision) RETURNS smallint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN round(miles_per_hour / 1.15078::double precision)::smallint;
