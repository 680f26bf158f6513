SELECT id, carrier AS airline, flight AS number, flight_date AS date, note AS body, written
FROM public.notes
WHERE id = %(id)s
