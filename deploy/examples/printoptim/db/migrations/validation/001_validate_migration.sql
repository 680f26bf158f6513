-- Every statement answers with `check` and `ok`; a row that is not ok fails the run.

-- Each subject has as many rows as the old database counted; what has no place in the new tables counts with it.
WITH orphans (source, rows) AS (
    SELECT source, count(*) FROM migration.tb_orphan GROUP BY source
), found (subject, rows) AS (
    SELECT 'customers', (SELECT count(*) FROM crm.tb_customer) + (SELECT count(*) FROM crm.tb_customer_alias)
    UNION ALL SELECT 'companies', count(*) FROM crm.tb_customer
    UNION ALL SELECT 'contacts', count(*) + (SELECT coalesce(sum(rows), 0) FROM orphans WHERE source = 'contact') FROM crm.tb_contact
    UNION ALL SELECT 'sites', count(*) FROM crm.tb_site
    UNION ALL SELECT 'users', count(*) FROM crm.tb_user
    UNION ALL SELECT 'machines', count(*) FROM fleet.tb_machine
    UNION ALL SELECT 'readings', count(*) + (SELECT coalesce(sum(rows), 0) FROM orphans WHERE source = 'reading') FROM fleet.tb_meter_reading
    UNION ALL SELECT 'log lines', count(*) FROM fleet.tb_machine_event
    UNION ALL SELECT 'tickets', count(*) FROM fleet.tb_ticket
    UNION ALL SELECT 'comments', count(*) + (SELECT coalesce(sum(rows), 0) FROM orphans WHERE source = 'ticket_note')
    FROM fleet.tb_ticket_comment
    UNION ALL SELECT 'visits', count(*) FROM fleet.tb_visit
    UNION ALL SELECT 'parts used', sum(quantity) + (
        SELECT coalesce(sum((legacy_row ->> 'quantity')::integer), 0) FROM migration.tb_orphan WHERE source = 'part_used')
    FROM fleet.tb_visit_part
    UNION ALL SELECT 'contracts', count(*) FROM billing.tb_contract
    UNION ALL SELECT 'machines under contract', count(*) FROM billing.tb_contract_machine
    UNION ALL SELECT 'invoices', count(*) FROM billing.tb_invoice
    UNION ALL SELECT 'invoice lines', count(*) + (SELECT coalesce(sum(rows), 0) FROM orphans WHERE source = 'invoice_line')
    FROM billing.tb_invoice_line
    UNION ALL SELECT 'payments', count(*) FROM billing.tb_payment
    UNION ALL SELECT 'orders', count(*) FROM billing.tb_supply_order
    UNION ALL SELECT 'orphans', coalesce(sum(rows), 0) FROM orphans
)
SELECT
    subject || ': old ' || coalesce(tally.rows::text, 'not counted') || ', new ' || coalesce(found.rows::text, 'not counted')
        AS "check",
    tally.rows IS NOT DISTINCT FROM found.rows AS ok
FROM migration.tb_tally tally
FULL JOIN found USING (subject)
ORDER BY subject;

-- An alias is of the company that its VAT number says.
SELECT
    'every alias has the VAT number of its customer' AS "check",
    NOT EXISTS (
        SELECT FROM crm.tb_customer_alias alias
        JOIN crm.tb_customer customer ON pk_customer = fk_customer
        WHERE customer.vat_number IS DISTINCT FROM upper(replace(alias.vat_number, ' ', ''))) AS ok;

-- Each word has a code, and each code a name in every language where the screens show one.
SELECT
    subject || ': ' || coalesce(spelling, 'NULL') || ' is ' || code AS "check",
    code ~ '^[a-z_]+$' AS ok
FROM migration.tb_spelling
ORDER BY subject, spelling;

SELECT
    'every status that screens show has a name in ' || identifier AS "check",
    (SELECT count(*) FROM crm.tl_customer_status WHERE fk_language = pk_language) = (SELECT count(*) FROM crm.tb_customer_status)
    AND (SELECT count(*) FROM fleet.tl_machine_status WHERE fk_language = pk_language) = (SELECT count(*) FROM fleet.tb_machine_status)
    AND (SELECT count(*) FROM fleet.tl_ticket_status WHERE fk_language = pk_language) = (SELECT count(*) FROM fleet.tb_ticket_status)
    AND (SELECT count(*) FROM billing.tl_invoice_status WHERE fk_language = pk_language) = (SELECT count(*) FROM billing.tb_invoice_status)
        AS ok
FROM common.tb_language
ORDER BY identifier;

SELECT
    'every customer and every machine has its projection' AS "check",
    (SELECT count(*) FROM crm.tv_customer) = (SELECT count(*) FROM crm.tb_customer)
    AND (SELECT count(*) FROM fleet.tv_machine) = (SELECT count(*) FROM fleet.tb_machine) AS ok;

SELECT
    'an amount that was no whole cents is less than a cent away' AS "check",
    NOT EXISTS (
        SELECT FROM migration.tb_rounding WHERE abs(amount - round(amount::numeric, 2)::double precision) >= 0.005) AS ok;

SELECT
    'no constraint and no index is left aside' AS "check",
    count(*) = 0 AS ok
FROM migration.tb_set_aside;

SELECT
    'the old tables are gone' AS "check",
    count(*) = 0 AS ok
FROM pg_tables
WHERE schemaname = 'public';
