SELECT
    customer.id,
    name,
    replace(replace(lower(btrim(coalesce(customer.status, 'unknown'))), 'aktiv', 'active'), 'gone', 'closed') AS status,
    address,
    (SELECT count(*) FROM public.printer JOIN public.customer_master AS owner ON owner.id = customer_id
     WHERE owner.master_id = customer.id) AS machines
FROM public.customer_master asked
JOIN public.customer ON customer.id = asked.master_id
WHERE asked.id = %(id)s
