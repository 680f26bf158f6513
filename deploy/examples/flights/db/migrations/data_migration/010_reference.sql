INSERT INTO reference.tb_airline (id, identifier, name)
SELECT common.migrated_id('airline', carrier), carrier, name
FROM public.airlines
ORDER BY carrier;

INSERT INTO reference.tb_airport (
    id, identifier, source, name, latitude, longitude, altitude_feet, utc_offset_hours, dst_rule, time_zone)
SELECT common.migrated_id('airport', faa), faa, 'register', name, lat, lon, alt, tz, dst, tzone
FROM public.airports
ORDER BY faa;

-- Flights go to airports that the register lacks (7,602 flights to four of them): these become airports of their own.
INSERT INTO reference.tb_airport (id, identifier, source)
SELECT common.migrated_id('airport', faa), faa, 'inferred'
FROM (SELECT origin AS faa FROM public.flights UNION SELECT dest FROM public.flights) named
WHERE NOT EXISTS (SELECT FROM public.airports listed WHERE listed.faa = named.faa)
ORDER BY faa;

ANALYZE reference.tb_airline, reference.tb_airport;
