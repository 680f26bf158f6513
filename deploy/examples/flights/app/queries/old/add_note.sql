INSERT INTO public.notes (carrier, flight, flight_date, note)
SELECT carrier, %(number)s, to_char(%(date)s::date, 'YYYY-MM-DD'), %(body)s
FROM public.airlines
WHERE carrier = %(airline)s
RETURNING id
