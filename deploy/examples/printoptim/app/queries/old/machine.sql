SELECT
    %(serial)s AS serial,
    manufacturer.name AS manufacturer,
    model.name AS model,
    replace(lower(btrim(coalesce(status, 'unknown'))), 'en panne', 'down') AS status,
    'CUS-' || master_id AS customer,
    (SELECT mono FROM public.reading WHERE printer_id = printer.id ORDER BY read_at DESC, id DESC LIMIT 1) AS mono_pages
FROM public.printer
LEFT JOIN public.model ON model.id = model_id
LEFT JOIN public.manufacturer ON manufacturer.id = manufacturer_id
LEFT JOIN public.customer_master ON customer_master.id = customer_id
WHERE serial IN (%(serial)s, 'sn' || substr(%(serial)s, 3), 'S/N ' || substr(%(serial)s, 3))
