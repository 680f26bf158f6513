SELECT
    reading.id,
    'SN' || regexp_replace(serial, '[^0-9]', '', 'g') AS serial,
    to_char(read_at, 'YYYY-MM-DD"T"HH24:MI:SS') AS read_at,
    mono,
    colour
FROM public.reading
JOIN public.printer ON printer.id = printer_id
WHERE reading.id = %(id)s
