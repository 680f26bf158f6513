-- Once the rows are there: the indexes that somebody asked for over the years, the positions of the sequences, the rights.
CREATE INDEX printer_customer ON public.printer (customer_id);
CREATE INDEX printer_serial ON public.printer (serial);
CREATE INDEX reading_printer ON public.reading (printer_id);
CREATE INDEX ticket_printer ON public.ticket (printer_id);
CREATE INDEX invoice_line_invoice ON public.invoice_line (invoice_id);

DO $$
DECLARE
    named regclass;
BEGIN
    FOR named IN
        SELECT attrelid FROM pg_attribute
        WHERE attname = 'id' AND attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace)
    LOOP
        EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, %L), max(id)) FROM %s', named, 'id', named);
    END LOOP;
END
$$;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO printoptim_app;
GRANT INSERT ON public.reading, public.ticket TO printoptim_app;
GRANT USAGE ON SEQUENCE public.reading_id_seq, public.ticket_id_seq TO printoptim_app;

ANALYZE;
