SELECT
    ticket.id,
    'SN' || regexp_replace(serial, '[^0-9]', '', 'g') AS serial,
    subject,
    replace(replace(lower(btrim(coalesce(ticket.status, 'unknown'))), 'in progress', 'in_progress'), 'done', 'closed') AS status,
    lower(btrim(coalesce(priority, 'unknown'))) AS priority,
    to_char(opened, 'YYYY-MM-DD"T"HH24:MI:SS') AS opened
FROM public.ticket
LEFT JOIN public.printer ON printer.id = printer_id
WHERE ticket.id = %(id)s
