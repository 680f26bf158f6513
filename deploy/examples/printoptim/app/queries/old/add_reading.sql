INSERT INTO public.reading (printer_id, mono, colour, source)
SELECT id, %(mono)s, %(colour)s, 'api'
FROM public.printer
WHERE serial IN (%(serial)s, 'sn' || substr(%(serial)s, 3), 'S/N ' || substr(%(serial)s, 3))
RETURNING id
