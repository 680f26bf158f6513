INSERT INTO fleet.tb_manufacturer (pk_manufacturer, id, identifier, name)
SELECT id, common.migrated_id('manufacturer', id::text), replace(lower(name), ' ', '_'), name FROM public.manufacturer ORDER BY id;

INSERT INTO fleet.tb_model (pk_model, id, identifier, fk_manufacturer, prints_colour, pages_per_minute, list_price)
SELECT id, common.migrated_id('model', id::text), name, manufacturer_id, lower(colour) IN ('y', 'yes'), ppm, common.cents(list_price)
FROM public.model
ORDER BY id;

INSERT INTO fleet.tb_supply (pk_supply, id, identifier, name, price)
SELECT id, common.migrated_id('supply', id::text), sku, name, common.cents(price) FROM public.supply ORDER BY id;

INSERT INTO fleet.tb_part (pk_part, id, identifier, name, price, stock)
SELECT id, common.migrated_id('part', id::text), 'PART-' || id, name, common.cents(price), stock FROM public.part ORDER BY id;

INSERT INTO fleet.tb_machine_status (id, identifier)
SELECT common.migrated_id('machine_status', code), code FROM migration.codes('printer', 'status_log');

INSERT INTO fleet.tl_machine_status (fk_machine_status, fk_language, name)
SELECT pk_machine_status, pk_language, text
FROM public.label
JOIN fleet.tb_machine_status status ON key = 'printer.' || status.identifier
JOIN common.tb_language language ON language.identifier = lang;

INSERT INTO fleet.tb_machine (
    pk_machine, id, identifier, fk_model, fk_customer, fk_site, fk_machine_status, installed_at, address_ip, purchase_price, deleted_at)
SELECT printer.id, common.migrated_id('machine', printer.id::text), 'SN' || regexp_replace(serial, '[^0-9]', '', 'g'), model_id,
    master_id, location_id, pk_machine_status, common.moment(installed), ip::inet, common.cents(purchase_price),
    common.moment(printer.deleted_at)
FROM public.printer
JOIN migration.tb_spelling spelling ON subject = 'printer' AND spelling IS NOT DISTINCT FROM printer.status
JOIN fleet.tb_machine_status status ON status.identifier = code
LEFT JOIN public.customer_master master ON master.id = customer_id
ORDER BY printer.id;

ANALYZE fleet.tb_machine;

SELECT migration.set_aside('fleet.tb_meter_reading', 'fleet.tb_machine_event', 'fleet.tb_supply_level');

INSERT INTO migration.tb_orphan (source, legacy_id, missing, missing_id, legacy_row)
SELECT 'reading', reading.id, 'printer', printer_id, to_jsonb(reading)
FROM public.reading
WHERE NOT EXISTS (SELECT FROM public.printer WHERE printer.id = printer_id);

INSERT INTO fleet.tb_meter_reading (pk_meter_reading, id, fk_machine, read_at, mono_pages, colour_pages, source)
SELECT reading.id, common.migrated_id('reading', reading.id::text), printer_id, common.moment(read_at), mono, colour, lower(source)
FROM public.reading
WHERE EXISTS (SELECT FROM public.printer WHERE printer.id = printer_id)
ORDER BY reading.id;

-- The log has no key and repeats itself: its lines are numbered in the order of what they say, and none is dropped.
CREATE TEMPORARY TABLE line ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY at, printer_id, status, note) AS number, printer_id, at, status, note FROM public.status_log;

INSERT INTO fleet.tb_machine_event (pk_machine_event, id, fk_machine, fk_machine_status, happened_at, note)
SELECT number, common.migrated_id('machine_event', number::text), printer_id, pk_machine_status, common.moment(at), note
FROM line
JOIN migration.tb_spelling spelling ON subject = 'status_log' AND spelling IS NOT DISTINCT FROM line.status
JOIN fleet.tb_machine_status known ON known.identifier = code
ORDER BY number;

INSERT INTO fleet.tb_supply_level (pk_supply_level, id, fk_machine, fk_supply, percent, seen_at)
SELECT row_number() OVER (ORDER BY printer_id, supply_id), common.migrated_id('supply_level', printer_id || '/' || supply_id),
    printer_id, supply_id, percent, common.moment(seen)
FROM public.supply_level;

INSERT INTO migration.tb_skipped_moment (source, legacy_id, legacy_column, shown)
SELECT 'printer', id, 'installed', installed FROM public.printer WHERE common.clock(common.moment(installed)) <> installed
UNION ALL
SELECT 'printer', id, 'deleted_at', deleted_at FROM public.printer WHERE common.clock(common.moment(deleted_at)) <> deleted_at
UNION ALL
SELECT 'reading', id, 'read_at', read_at FROM public.reading WHERE common.clock(common.moment(read_at)) <> read_at
UNION ALL
SELECT 'status_log', number, 'at', at FROM line WHERE common.clock(common.moment(at)) <> at
UNION ALL
SELECT 'supply_level', pk_supply_level, 'seen', seen
FROM public.supply_level
JOIN fleet.tb_supply_level ON (fk_machine, fk_supply) = (printer_id, supply_id)
WHERE common.clock(common.moment(seen)) <> seen;

SELECT migration.put_back();

ANALYZE fleet.tb_meter_reading, fleet.tb_machine_event, fleet.tb_supply_level;
