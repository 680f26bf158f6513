SELECT
    to_char(flight_date, 'YYYY-MM-DD') AS date,
    airline,
    airline_name,
    flight_number AS number,
    origin,
    destination,
    tail_number,
    to_char(scheduled_departure, 'HH24:MI') AS scheduled_departure,
    departure_delay_minutes,
    arrival_delay_minutes
FROM operations.v_flight
WHERE airline = %(airline)s
  AND flight_number = %(number)s
  AND (%(date)s::date IS NULL OR flight_date = %(date)s::date)
ORDER BY flight_date, origin
LIMIT 400
