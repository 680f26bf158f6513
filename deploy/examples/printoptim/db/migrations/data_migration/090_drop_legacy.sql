-- They live on in the old database, which is kept.
DROP VIEW public.customer_master;
DROP TABLE public.country, public.settings, public.label, public.customer, public.contact, public.location, public.app_user,
    public.session, public.import_2014, public.manufacturer, public.model, public.printer, public.reading, public.status_log,
    public.supply, public.supply_level, public.supply_order, public.technician, public.ticket, public.ticket_note, public.visit,
    public.part, public.part_used, public.contract, public.contract_printer, public.invoice, public.invoice_line, public.payment;
