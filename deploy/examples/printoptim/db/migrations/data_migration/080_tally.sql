-- Counted in the old tables alone, so that a mistake above cannot repeat itself here.
INSERT INTO migration.tb_tally (subject, rows)
SELECT 'customers', count(*) FROM public.customer
UNION ALL SELECT 'companies', count(DISTINCT upper(replace(vat, ' ', ''))) + count(*) FILTER (WHERE vat IS NULL) FROM public.customer
UNION ALL SELECT 'contacts', count(*) FROM public.contact
UNION ALL SELECT 'sites', count(*) FROM public.location
UNION ALL SELECT 'users', count(*) FROM public.app_user
UNION ALL SELECT 'machines', count(*) FROM public.printer
UNION ALL SELECT 'readings', count(*) FROM public.reading
UNION ALL SELECT 'log lines', count(*) FROM public.status_log
UNION ALL SELECT 'tickets', count(*) FROM public.ticket
UNION ALL SELECT 'comments', count(*) FROM public.ticket_note
UNION ALL SELECT 'visits', count(*) FROM public.visit
UNION ALL SELECT 'parts used', sum(quantity) FROM public.part_used
UNION ALL SELECT 'contracts', count(*) FROM public.contract
UNION ALL SELECT 'machines under contract', count(*) FROM public.contract_printer
UNION ALL SELECT 'invoices', count(*) FROM public.invoice
UNION ALL SELECT 'invoice lines', count(*) FROM public.invoice_line
UNION ALL SELECT 'payments', count(*) FROM public.payment
UNION ALL SELECT 'orders', count(*) FROM public.supply_order
UNION ALL SELECT 'orphans',
    (SELECT count(*) FROM public.location WHERE NOT EXISTS (SELECT FROM public.customer WHERE customer.id = customer_id))
    + (SELECT count(*) FROM public.contact WHERE NOT EXISTS (SELECT FROM public.customer WHERE customer.id = customer_id))
    + (SELECT count(*) FROM public.reading WHERE NOT EXISTS (SELECT FROM public.printer WHERE printer.id = printer_id))
    + (SELECT count(*) FROM public.ticket_note WHERE NOT EXISTS (SELECT FROM public.ticket WHERE ticket.id = ticket_id))
    + (SELECT count(*) FROM public.part_used WHERE NOT EXISTS (SELECT FROM public.visit WHERE visit.id = visit_id))
    + (SELECT count(*) FROM public.invoice_line WHERE NOT EXISTS (SELECT FROM public.invoice WHERE invoice.id = invoice_id));

SELECT crm.refresh_tv_customer(), fleet.refresh_tv_machine();

-- A number that was given out is never given out again, though its row may be gone.
SELECT setval('fleet.tb_meter_reading_pk_meter_reading_seq', last_value) FROM public.reading_id_seq WHERE is_called;
SELECT setval('fleet.tb_ticket_pk_ticket_seq', last_value) FROM public.ticket_id_seq WHERE is_called;
