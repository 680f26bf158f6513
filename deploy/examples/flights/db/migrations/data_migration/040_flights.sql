-- The old table has no key. (carrier, flight, day, origin) is one: the constraint flight_is_listed_once proves it.
-- Outer joins where a row must be there: one that is missing makes a NULL that is refused, and loses no flight.
INSERT INTO operations.tb_flight (
    id, fk_airline, flight_number, flight_date, fk_origin, fk_destination, fk_aircraft,
    scheduled_departure, scheduled_arrival,
    departure, departure_delay_minutes, arrival, arrival_delay_minutes, air_time_minutes, distance_miles)
SELECT
    common.migrated_id('flight', concat_ws('/', carrier, flight, flight_date, origin)),
    airline.pk_airline, flight, flight_date, departs.pk_airport, arrives.pk_airport, aircraft.pk_aircraft,
    (flight_date + make_time(hour, minute, 0)) AT TIME ZONE departs.time_zone,
    common.clock_time(sched_arr_time),
    common.clock_time(dep_time), dep_delay, common.clock_time(arr_time), arr_delay, air_time, distance
FROM public.flights
CROSS JOIN LATERAL make_date(year, month, day) AS flight_date
LEFT JOIN reference.tb_airline airline ON airline.identifier = carrier
LEFT JOIN reference.tb_airport departs ON departs.identifier = origin
LEFT JOIN reference.tb_airport arrives ON arrives.identifier = dest
LEFT JOIN fleet.tb_aircraft aircraft ON aircraft.identifier = tailnum
ORDER BY flight_date, hour, minute, carrier, flight, origin;
