SELECT
    to_char(flight_date, 'YYYY-MM-DD') AS date,
    flights.carrier AS airline,
    airlines.name AS airline_name,
    flights.flight AS number,
    flights.origin,
    flights.dest AS destination,
    flights.tailnum AS tail_number,
    to_char(make_time(flights.hour, flights.minute, 0), 'HH24:MI') AS scheduled_departure,
    flights.dep_delay::integer AS departure_delay_minutes,
    flights.arr_delay::integer AS arrival_delay_minutes
FROM public.flights
CROSS JOIN LATERAL make_date(flights.year, flights.month, flights.day) AS flight_date
LEFT JOIN public.airlines ON airlines.carrier = flights.carrier
WHERE flights.carrier = %(airline)s
  AND flights.flight = %(number)s
  AND (%(date)s::date IS NULL OR flight_date = %(date)s::date)
ORDER BY flight_date, flights.origin
LIMIT 400
