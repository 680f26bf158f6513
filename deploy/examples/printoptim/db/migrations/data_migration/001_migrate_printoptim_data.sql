-- First the lists, and the words that people typed; then customers, their sites and people. Rows keep the number that they had.
INSERT INTO common.tb_language (pk_language, id, identifier)
SELECT row_number() OVER (ORDER BY lang), common.migrated_id('language', lang), lang FROM (SELECT DISTINCT lang FROM public.label) known;

INSERT INTO common.tb_country (id, identifier, name)
SELECT common.migrated_id('country', code), code, name FROM public.country ORDER BY code;

INSERT INTO common.tb_currency (id, identifier)
SELECT common.migrated_id('currency', code), code FROM (SELECT DISTINCT upper(btrim(currency)) AS code FROM public.contract) known
ORDER BY code;

INSERT INTO common.tb_setting (id, identifier, value)
SELECT common.migrated_id('setting', name), name, value FROM public.settings ORDER BY name;

-- Each spelling that was ever typed, and the code that it becomes: the scripts below look a word up here and nowhere else.
INSERT INTO migration.tb_spelling (subject, spelling, code, rows)
SELECT subject, spelling, coalesce(synonyms ->> common.spelled(spelling), common.spelled(spelling)), rows
FROM (
    SELECT 'customer', status, count(*) FROM public.customer GROUP BY status
    UNION ALL SELECT 'printer', status, count(*) FROM public.printer GROUP BY status
    UNION ALL SELECT 'status_log', status, count(*) FROM public.status_log GROUP BY status
    UNION ALL SELECT 'ticket', status, count(*) FROM public.ticket GROUP BY status
    UNION ALL SELECT 'priority', priority, count(*) FROM public.ticket GROUP BY priority
    UNION ALL SELECT 'contract', status, count(*) FROM public.contract GROUP BY status
    UNION ALL SELECT 'invoice', status, count(*) FROM public.invoice GROUP BY status
    UNION ALL SELECT 'method', method, count(*) FROM public.payment GROUP BY method
    UNION ALL SELECT 'order', status, count(*) FROM public.supply_order GROUP BY status) AS typed (subject, spelling, rows)
CROSS JOIN (VALUES (jsonb_build_object(
    'aktiv', 'active', 'gone', 'closed', 'en panne', 'down', 'in progress', 'in_progress', 'done', 'closed', 'payé', 'paid',
    'virement', 'transfer', 'canceled', 'cancelled'))) AS known (synonyms);

INSERT INTO crm.tb_customer_status (id, identifier)
SELECT common.migrated_id('customer_status', code), code FROM migration.codes('customer');

INSERT INTO crm.tl_customer_status (fk_customer_status, fk_language, name)
SELECT pk_customer_status, pk_language, text
FROM public.label
JOIN crm.tb_customer_status status ON key = 'customer.' || status.identifier
JOIN common.tb_language language ON language.identifier = lang;

INSERT INTO crm.tb_address (id, identifier, street, postal_code, city, fk_country, unstructured)
SELECT common.migrated_id('address', owner), owner, part[1], part[2], part[3], pk_country,
    CASE WHEN pk_country IS NULL THEN address END
FROM (
    SELECT 'CUS-' || id, address FROM public.customer
    UNION ALL SELECT 'SITE-' || id, address FROM public.location) AS known (owner, address)
CROSS JOIN LATERAL regexp_match(address, '^([^,]+), ([0-9]{5}) ([^,]+), ([A-Z]{2})$') AS part
LEFT JOIN common.tb_country country ON country.identifier = part[4]
WHERE address IS NOT NULL
ORDER BY owner;

INSERT INTO crm.tb_customer (
    pk_customer, id, identifier, name, vat_number, email, phone, fk_address, fk_customer_status, created_at, updated_at, deleted_at)
SELECT customer.id, common.migrated_id('customer', customer.id::text), 'CUS-' || customer.id, name, vat, email, phone, pk_address,
    pk_customer_status, common.moment(created), common.moment(modified), CASE WHEN deleted = 1 THEN common.moment(modified) END
FROM public.customer
JOIN public.customer_master USING (id)
JOIN migration.tb_spelling spelling ON subject = 'customer' AND spelling IS NOT DISTINCT FROM customer.status
JOIN crm.tb_customer_status status ON status.identifier = code
LEFT JOIN crm.tb_address address ON address.identifier = 'CUS-' || customer.id
WHERE customer.id = master_id
ORDER BY customer.id;

-- A company that was entered twice is one customer; what the second entry said is kept under its number.
INSERT INTO crm.tb_customer_alias (
    pk_customer_alias, id, identifier, fk_customer, name, vat_number, email, phone, fk_address, fk_customer_status,
    created_at, updated_at, deleted_at)
SELECT customer.id, common.migrated_id('customer', customer.id::text), 'CUS-' || customer.id, master_id, name, vat, email, phone,
    pk_address, pk_customer_status, common.moment(created), common.moment(modified),
    CASE WHEN deleted = 1 THEN common.moment(modified) END
FROM public.customer
JOIN public.customer_master USING (id)
JOIN migration.tb_spelling spelling ON subject = 'customer' AND spelling IS NOT DISTINCT FROM customer.status
JOIN crm.tb_customer_status status ON status.identifier = code
LEFT JOIN crm.tb_address address ON address.identifier = 'CUS-' || customer.id
WHERE customer.id <> master_id
ORDER BY customer.id;

INSERT INTO migration.tb_skipped_moment (source, legacy_id, legacy_column, shown)
SELECT 'customer', id, legacy_column, shown
FROM public.customer
CROSS JOIN LATERAL (VALUES ('created', created), ('modified', modified)) AS moments (legacy_column, shown)
WHERE common.clock(common.moment(shown)) <> shown;

ANALYZE crm.tb_customer, crm.tb_customer_alias, crm.tb_address;

-- Machines stand at locations whose customer is gone: such a site has none, and the number it pointed at is kept.
INSERT INTO crm.tb_site (pk_site, id, identifier, name, fk_customer, fk_address)
SELECT location.id, common.migrated_id('site', location.id::text), 'SITE-' || location.id, name, master_id, pk_address
FROM public.location
LEFT JOIN public.customer_master master ON master.id = customer_id
LEFT JOIN crm.tb_address address ON address.identifier = 'SITE-' || location.id
ORDER BY location.id;

INSERT INTO migration.tb_orphan (source, legacy_id, missing, missing_id, legacy_row)
SELECT 'location', location.id, 'customer', customer_id, to_jsonb(location)
FROM public.location
WHERE NOT EXISTS (SELECT FROM public.customer WHERE customer.id = customer_id);

-- A contact of a customer who is gone is of no use to anybody: kept as it was, and nowhere else.
INSERT INTO migration.tb_orphan (source, legacy_id, missing, missing_id, legacy_row)
SELECT 'contact', contact.id, 'customer', customer_id, to_jsonb(contact)
FROM public.contact
WHERE NOT EXISTS (SELECT FROM public.customer WHERE customer.id = customer_id);

INSERT INTO crm.tb_contact (pk_contact, id, identifier, fk_customer, name, email, role, updated_at, deleted_at)
SELECT contact.id, common.migrated_id('contact', contact.id::text), 'CON-' || contact.id, master_id, name, email,
    lower(role), common.moment(modified), CASE WHEN deleted = 1 THEN common.moment(modified) END
FROM public.contact
JOIN public.customer_master master ON master.id = customer_id
ORDER BY contact.id;

INSERT INTO crm.tb_user (pk_user, id, identifier, fk_customer, role, password_hash, last_login_at)
SELECT app_user.id, common.migrated_id('user', app_user.id::text), login, master_id, lower(role), password, common.moment(last_login)
FROM public.app_user
LEFT JOIN public.customer_master master ON master.id = customer_id
ORDER BY app_user.id;

INSERT INTO migration.tb_skipped_moment (source, legacy_id, legacy_column, shown)
SELECT 'contact', id, 'modified', modified FROM public.contact WHERE common.clock(common.moment(modified)) <> modified
UNION ALL
SELECT 'app_user', id, 'last_login', last_login FROM public.app_user WHERE common.clock(common.moment(last_login)) <> last_login;

ANALYZE crm.tb_site, crm.tb_contact, crm.tb_user;
