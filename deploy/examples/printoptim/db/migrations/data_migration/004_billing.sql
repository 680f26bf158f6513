INSERT INTO billing.tb_contract_status (id, identifier)
SELECT common.migrated_id('contract_status', code), code FROM migration.codes('contract');

INSERT INTO billing.tb_contract (
    pk_contract, id, identifier, fk_customer, fk_currency, fk_contract_status, starts_on, ends_on, monthly_fee)
SELECT contract.id, common.migrated_id('contract', contract.id::text), number, master_id, pk_currency, pk_contract_status, starts,
    ends, common.cents(monthly)
FROM public.contract
JOIN migration.tb_spelling spelling ON subject = 'contract' AND spelling IS NOT DISTINCT FROM contract.status
JOIN billing.tb_contract_status status ON status.identifier = code
JOIN common.tb_currency currency ON currency.identifier = upper(btrim(contract.currency))
LEFT JOIN public.customer_master master ON master.id = customer_id
ORDER BY contract.id;

SELECT migration.set_aside(
    'billing.tb_contract_machine', 'billing.tb_invoice', 'billing.tb_invoice_line', 'billing.tb_payment', 'billing.tb_supply_order');

INSERT INTO billing.tb_contract_machine (id, fk_contract, fk_machine, mono_rate, colour_rate)
SELECT common.migrated_id('contract_machine', contract_id || '/' || printer_id), contract_id, printer_id, mono_rate, colour_rate
FROM public.contract_printer
ORDER BY contract_id, printer_id;

INSERT INTO billing.tb_invoice_status (id, identifier)
SELECT common.migrated_id('invoice_status', code), code FROM migration.codes('invoice');

INSERT INTO billing.tl_invoice_status (fk_invoice_status, fk_language, name)
SELECT pk_invoice_status, pk_language, text
FROM public.label
JOIN billing.tb_invoice_status status ON key = 'invoice.' || status.identifier
JOIN common.tb_language language ON language.identifier = lang;

INSERT INTO billing.tb_invoice (
    pk_invoice, id, identifier, fk_customer, fk_contract, fk_invoice_status, issued_at, due_on, total)
SELECT invoice.id, common.migrated_id('invoice', invoice.id::text), number, master_id, contract_id, pk_invoice_status,
    common.moment(issued), due, common.cents(total)
FROM public.invoice
JOIN migration.tb_spelling spelling ON subject = 'invoice' AND spelling IS NOT DISTINCT FROM invoice.status
JOIN billing.tb_invoice_status status ON status.identifier = code
LEFT JOIN public.customer_master master ON master.id = customer_id
ORDER BY invoice.id;

INSERT INTO migration.tb_orphan (source, legacy_id, missing, missing_id, legacy_row)
SELECT 'invoice_line', invoice_line.id, 'invoice', invoice_id, to_jsonb(invoice_line)
FROM public.invoice_line
WHERE NOT EXISTS (SELECT FROM public.invoice WHERE invoice.id = invoice_id);

INSERT INTO billing.tb_invoice_line (pk_invoice_line, id, fk_invoice, body, quantity, price, amount)
SELECT invoice_line.id, common.migrated_id('invoice_line', invoice_line.id::text), invoice_id, text, quantity,
    common.cents(price), common.cents(amount)
FROM public.invoice_line
WHERE EXISTS (SELECT FROM public.invoice WHERE invoice.id = invoice_id)
ORDER BY invoice_line.id;

INSERT INTO billing.tb_payment_method (id, identifier)
SELECT common.migrated_id('payment_method', code), code FROM migration.codes('method');

INSERT INTO billing.tb_payment (pk_payment, id, fk_invoice, fk_payment_method, amount, paid_at)
SELECT payment.id, common.migrated_id('payment', payment.id::text), invoice_id, pk_payment_method, common.cents(amount),
    common.moment(paid)
FROM public.payment
JOIN migration.tb_spelling spelling ON subject = 'method' AND spelling IS NOT DISTINCT FROM payment.method
JOIN billing.tb_payment_method known ON known.identifier = code
ORDER BY payment.id;

INSERT INTO billing.tb_supply_order_status (id, identifier)
SELECT common.migrated_id('supply_order_status', code), code FROM migration.codes('order');

INSERT INTO billing.tb_supply_order (
    pk_supply_order, id, fk_customer, fk_machine, fk_supply, fk_supply_order_status, quantity, ordered_at, shipped_at)
SELECT supply_order.id, common.migrated_id('supply_order', supply_order.id::text), master_id, printer_id, supply_id,
    pk_supply_order_status, quantity, common.moment(ordered), common.moment(shipped)
FROM public.supply_order
JOIN migration.tb_spelling spelling ON subject = 'order' AND spelling IS NOT DISTINCT FROM supply_order.status
JOIN billing.tb_supply_order_status status ON status.identifier = code
LEFT JOIN public.customer_master master ON master.id = customer_id
ORDER BY supply_order.id;

INSERT INTO migration.tb_skipped_moment (source, legacy_id, legacy_column, shown)
SELECT 'invoice', id, 'issued', issued FROM public.invoice WHERE common.clock(common.moment(issued)) <> issued
UNION ALL
SELECT 'payment', id, 'paid', paid FROM public.payment WHERE common.clock(common.moment(paid)) <> paid
UNION ALL
SELECT 'supply_order', id, legacy_column, shown
FROM public.supply_order
CROSS JOIN LATERAL (VALUES ('ordered', ordered), ('shipped', shipped)) AS moments (legacy_column, shown)
WHERE common.clock(common.moment(shown)) <> shown;

INSERT INTO migration.tb_rounding (source, legacy_id, legacy_column, amount)
SELECT 'invoice', id, 'total', total FROM public.invoice WHERE common.cents(total)::double precision <> total
UNION ALL
SELECT 'invoice_line', id, 'amount', amount FROM public.invoice_line WHERE common.cents(amount)::double precision <> amount;

SELECT migration.put_back();

ANALYZE billing.tb_contract, billing.tb_contract_machine, billing.tb_invoice, billing.tb_invoice_line, billing.tb_payment;
ANALYZE billing.tb_supply_order, migration.tb_rounding, migration.tb_skipped_moment, migration.tb_orphan;
