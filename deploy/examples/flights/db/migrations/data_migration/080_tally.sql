-- Counted in the old tables alone, so that a mistake above cannot repeat itself here.
INSERT INTO migration.tb_tally (subject, rows)
SELECT 'flights', count(*) FROM public.flights
UNION ALL
SELECT 'flights without a tail number', count(*) FROM public.flights WHERE tailnum IS NULL
UNION ALL
SELECT 'flights of unregistered aircraft', count(*) FROM public.flights
WHERE tailnum NOT IN (SELECT tailnum FROM public.planes WHERE tailnum IS NOT NULL)
UNION ALL
SELECT 'flights of registered aircraft', count(*) FROM public.flights WHERE tailnum IN (SELECT tailnum FROM public.planes)
UNION ALL
SELECT 'flights to inferred airports', count(*) FROM public.flights
WHERE dest NOT IN (SELECT faa FROM public.airports WHERE faa IS NOT NULL)
UNION ALL
SELECT 'flights that never left', count(*) FROM public.flights WHERE dep_time IS NULL
UNION ALL
SELECT 'airlines', count(*) FROM public.airlines
UNION ALL
SELECT 'airports', count(*) FROM public.airports
UNION ALL
SELECT 'aircraft', count(*) FROM public.planes
UNION ALL
SELECT 'observations', count(*) FROM public.weather
UNION ALL
SELECT 'observations of a second hour', count(*) - count(DISTINCT (origin, year, month, day, hour)) FROM public.weather
UNION ALL
SELECT 'impossible winds', count(*) FROM public.weather WHERE wind_speed > 231 OR wind_gust > 289
UNION ALL
SELECT 'notes', count(*) FROM public.notes
UNION ALL
SELECT 'note numbers given out', last_value FROM public.notes_seq WHERE is_called;

-- A number that was given out is never given out again, though its note may be gone.
SELECT setval('operations.tb_note_pk_note_seq', rows) FROM migration.tb_tally WHERE subject = 'note numbers given out';
