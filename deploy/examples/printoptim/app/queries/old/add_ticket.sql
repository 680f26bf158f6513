INSERT INTO public.ticket (printer_id, customer_id, subject, status, priority)
SELECT id, customer_id, %(subject)s, 'open', %(priority)s
FROM public.printer
WHERE serial IN (%(serial)s, 'sn' || substr(%(serial)s, 3), 'S/N ' || substr(%(serial)s, 3))
RETURNING id
