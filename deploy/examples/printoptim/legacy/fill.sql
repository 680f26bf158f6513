-- Fifteen years in some INSERTs. Every value is a hash of the row's number and the seed: the same seed, the same rows.
-- A string.Template; load.py knows how many rows a table gets.
CREATE FUNCTION pg_temp.pick(n bigint, salt integer, below bigint) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT ((hashint8extended(n, salt + $seed * 1000) & 9223372036854775807) % below)::integer';

CREATE FUNCTION pg_temp.moment(n bigint, salt integer) RETURNS timestamp
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$$$ SELECT timestamp '2010-01-04 08:00' + pg_temp.pick(n, salt, 473385600) * interval '1 second' $$$$;

CREATE FUNCTION pg_temp.one_of(words text[], n bigint, salt integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT words[1 + pg_temp.pick(n, salt, cardinality(words))]';

CREATE FUNCTION pg_temp.address(n bigint, salt integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$$$
        SELECT CASE pg_temp.pick(n, salt, 97)
            WHEN 0 THEN 'c/o reception, see contract'
            WHEN 1 THEN NULL
            ELSE format('%s %s, %s %s, %s',
                1 + pg_temp.pick(n, salt + 1, 180),
                pg_temp.one_of(ARRAY[
                    'rue des Lilas', 'avenue Jean Jaurès', 'quai de la Gare', 'Bahnhofstraße', 'boulevard Voltaire'], n, salt + 2),
                10000 + pg_temp.pick(n, salt + 3, 89999),
                pg_temp.one_of(ARRAY['Paris', 'Lyon', 'Saint-Étienne', 'Bruxelles', 'Genève'], n, salt + 4),
                pg_temp.one_of(ARRAY['FR', 'FR', 'FR', 'BE', 'CH'], n, salt + 5))
        END
    $$$$;

INSERT INTO public.country VALUES ('FR', 'France'), ('BE', 'Belgique'), ('CH', 'Suisse'), ('LU', 'Luxembourg'),
    ('DE', 'Allemagne');

INSERT INTO public.settings VALUES
    ('vat_rate', '20'), ('support_mail', 'support@printoptim.example'), ('Late_Fee', '40'), ('locale', 'fr_FR'), ('theme', NULL);

INSERT INTO public.label
SELECT lang, format('%s.%s', subject, code), format('%s (%s)', initcap(replace(code, '_', ' ')), lang)
FROM (VALUES
    ('customer', ARRAY['active', 'prospect', 'closed', 'unknown']),
    ('printer', ARRAY['running', 'down', 'stock', 'retired', 'unknown']),
    ('ticket', ARRAY['open', 'in_progress', 'closed', 'unknown']),
    ('invoice', ARRAY['draft', 'sent', 'paid', 'cancelled', 'unknown'])) AS labels (subject, codes)
CROSS JOIN unnest(codes) AS code
CROSS JOIN unnest(ARRAY['fr', 'en', 'de']) AS lang;

INSERT INTO public.manufacturer
SELECT n, names[n]
FROM (VALUES (ARRAY['Ricoh', 'CANON', 'Xerox', 'Kyocera', 'Lexmark', 'hp', 'Brother', 'Konica Minolta'])) AS known (names)
CROSS JOIN generate_series(1, 8) AS n;

INSERT INTO public.model
SELECT n, 1 + pg_temp.pick(n, 1, 8), format('M%s-%s', 100 + n, pg_temp.pick(n, 2, 10)),
    pg_temp.one_of(ARRAY['Y', 'N', 'yes', 'no'], n, 3), 20 + pg_temp.pick(n, 4, 60),
    (30000 + pg_temp.pick(n, 5, 900000)) / 100.0::double precision
FROM generate_series(1, $model) AS n;

-- Each twentieth customer is the one of seven numbers before, entered again: other spelling of the VAT number, other mail.
INSERT INTO public.customer
SELECT n,
    format('%s %s', pg_temp.one_of(ARRAY['Imprimerie', 'Cabinet', 'Lycée', 'Clinique', 'Mairie de'], subject, 10),
           pg_temp.one_of(ARRAY['Durand', 'Müller', 'Lefèvre', 'Van Damme', 'Rochat', 'O''Neill'], subject, 11)
           || ' ' || subject),
    CASE WHEN pg_temp.pick(subject, 12, 20) = 0 THEN NULL
         WHEN n <> subject THEN format('fr %s', 10000000000 + subject)
         ELSE format('FR%s', 10000000000 + subject) END,
    format('contact%s@client%s.example', n, subject),
    pg_temp.one_of(ARRAY['01 42 00 00 00', '+33 1 42 00 00 00', '', NULL], n, 13),
    pg_temp.address(n, 14),
    pg_temp.one_of(ARRAY['active', 'Active', 'ACTIVE', 'active ', 'aktiv', 'prospect', 'Prospect', 'closed', 'CLOSED',
                         'gone', NULL], n, 20),
    pg_temp.moment(n, 21),
    pg_temp.moment(n, 21) + pg_temp.pick(n, 22, 9000000) * interval '1 second',
    CASE pg_temp.pick(n, 23, 20) WHEN 0 THEN 1 WHEN 1 THEN NULL ELSE 0 END
FROM generate_series(1, $customer) AS n
CROSS JOIN LATERAL (SELECT CASE WHEN n % 20 = 0 THEN n - 7 ELSE n END) AS original (subject);

-- One in 40 contacts and locations is of a customer who was deleted for good.
INSERT INTO public.contact
SELECT n, CASE WHEN pg_temp.pick(n, 30, 40) = 0 THEN $customer + n ELSE 1 + pg_temp.pick(n, 31, $customer) END,
    format('%s %s', pg_temp.one_of(ARRAY['Anne', 'Björn', 'Chloé', 'Denis', 'Eva'], n, 32), n),
    CASE WHEN pg_temp.pick(n, 33, 9) > 0 THEN format('p%s@client.example', n) END,
    pg_temp.one_of(ARRAY['billing', 'Billing', 'technical', 'TECHNICAL', NULL], n, 34),
    pg_temp.moment(n, 35), CASE WHEN pg_temp.pick(n, 36, 15) = 0 THEN 1 ELSE 0 END
FROM generate_series(1, $contact) AS n;

INSERT INTO public.location
SELECT n, CASE WHEN pg_temp.pick(n, 40, 40) = 0 THEN $customer + n ELSE 1 + pg_temp.pick(n, 41, $customer) END,
    pg_temp.one_of(ARRAY['Siège', 'Atelier', 'RDC', '2e étage'], n, 42), pg_temp.address(n, 43)
FROM generate_series(1, $location) AS n;

INSERT INTO public.app_user
SELECT n, format('user%s', n), CASE WHEN pg_temp.pick(n, 50, 10) > 0 THEN 1 + pg_temp.pick(n, 51, $customer) END,
    pg_temp.one_of(ARRAY['admin', 'Admin', 'user', 'USER', 'readonly'], n, 52), md5(n::text),
    CASE WHEN pg_temp.pick(n, 53, 4) > 0 THEN pg_temp.moment(n, 54) END
FROM generate_series(1, $app_user) AS n;

INSERT INTO public.session
SELECT md5(format('session %s', n)), 1 + pg_temp.pick(n, 55, $app_user), '{}', pg_temp.moment(n, 56)
FROM generate_series(1, $session) AS n;

INSERT INTO public.import_2014 SELECT n, md5(format('line %s', n)) FROM generate_series(1, $import_2014) AS n;

INSERT INTO public.printer
SELECT n, format('%s%s', pg_temp.one_of(ARRAY['SN', 'sn', 'S/N '], n, 60), 500000 + n),
    CASE WHEN pg_temp.pick(n, 61, 100) > 0 THEN 1 + pg_temp.pick(n, 62, $model) END,
    CASE WHEN pg_temp.pick(n, 63, 20) > 0 THEN 1 + pg_temp.pick(n, 64, $customer) END,
    CASE WHEN pg_temp.pick(n, 65, 4) > 0 THEN 1 + pg_temp.pick(n, 66, $location) END,
    pg_temp.one_of(ARRAY['running', 'Running', 'RUNNING', 'down', 'en panne', 'stock', 'Stock', 'retired', ' retired',
                         NULL], n, 67),
    pg_temp.moment(n, 68), format('10.%s.%s.%s', n / 65536, n / 256 % 256, n % 256),
    (10000 + pg_temp.pick(n, 69, 400000)) / 100.0::double precision,
    CASE WHEN pg_temp.pick(n, 70, 25) = 0 THEN pg_temp.moment(n, 71) END
FROM generate_series(1, $printer) AS n;

-- One in a thousand readings is of a printer that was deleted for good; another one shows an hour that no clock in Paris showed.
INSERT INTO public.reading
SELECT n,
    CASE WHEN pg_temp.pick(n, 80, 1000) = 0 THEN $printer + 1 + pg_temp.pick(n, 81, 1000) ELSE 1 + pg_temp.pick(n, 82, $printer) END,
    CASE WHEN n % 997 = 0 THEN timestamp '2019-03-31 02:00' + n % 3600 * interval '1 second' ELSE pg_temp.moment(n, 83) END,
    pg_temp.pick(n, 84, 900000), CASE WHEN pg_temp.pick(n, 85, 3) > 0 THEN pg_temp.pick(n, 86, 200000) END,
    pg_temp.one_of(ARRAY['snmp', 'SNMP', 'mail', 'Mail', 'phone', NULL], n, 87)
FROM generate_series(1, $reading) AS n;

-- Each tenth line is written twice.
INSERT INTO public.status_log
SELECT 1 + pg_temp.pick(line, 90, $printer), pg_temp.moment(line, 91),
    pg_temp.one_of(ARRAY['running', 'Running', 'down', 'en panne', 'retired', NULL], line, 92),
    CASE WHEN pg_temp.pick(line, 93, 3) = 0 THEN format('code %s', pg_temp.pick(line, 94, 99)) END
FROM generate_series(1, $status_log) AS n
CROSS JOIN LATERAL (SELECT CASE WHEN n % 10 = 0 THEN n - 1 ELSE n END) AS written (line);

INSERT INTO public.supply
SELECT n, format('SKU-%s', 1000 + n), format('Toner %s', pg_temp.one_of(ARRAY['noir', 'cyan', 'magenta', 'jaune'], n, 100)),
    (1000 + pg_temp.pick(n, 101, 30000)) / 100.0::double precision
FROM generate_series(1, $supply) AS n;

INSERT INTO public.supply_level
SELECT n, 1 + pg_temp.pick(n, 110, $supply), pg_temp.pick(n, 111, 101), pg_temp.moment(n, 112)
FROM generate_series(1, $supply_level) AS n;

INSERT INTO public.supply_order
SELECT n, 1 + pg_temp.pick(n, 120, $customer), CASE WHEN pg_temp.pick(n, 121, 5) > 0 THEN 1 + pg_temp.pick(n, 122, $printer) END,
    1 + pg_temp.pick(n, 123, $supply), 1 + pg_temp.pick(n, 124, 12),
    pg_temp.one_of(ARRAY['new', 'New', 'shipped', 'SHIPPED', 'cancelled', 'canceled'], n, 125),
    pg_temp.moment(n, 126), CASE WHEN pg_temp.pick(n, 127, 2) = 0 THEN pg_temp.moment(n, 126) + interval '3 days' END
FROM generate_series(1, $supply_order) AS n;

INSERT INTO public.technician
SELECT n, format('Technicien %s', n), '06 00 00 00 00', pg_temp.one_of(ARRAY['yes', 'Y', 'no', 'N', NULL], n, 130)
FROM generate_series(1, $technician) AS n;

INSERT INTO public.ticket
SELECT n, CASE WHEN pg_temp.pick(n, 140, 10) > 0 THEN 1 + pg_temp.pick(n, 141, $printer) END,
    CASE WHEN pg_temp.pick(n, 142, 10) > 0 THEN 1 + pg_temp.pick(n, 143, $customer) END,
    CASE WHEN pg_temp.pick(n, 144, 3) > 0 THEN 1 + pg_temp.pick(n, 145, $technician) END,
    pg_temp.one_of(ARRAY['Bourrage papier', 'Pas d''impression', 'Toner vide', 'Bruit étrange', '"E-04"'], n, 146),
    pg_temp.one_of(ARRAY['open', 'Open', 'OPEN', 'in progress', 'In_Progress', 'closed', 'Closed', 'done', NULL], n, 147),
    pg_temp.one_of(ARRAY['low', 'normal', 'Normal', 'HIGH', 'urgent', NULL], n, 148),
    pg_temp.moment(n, 149), CASE WHEN pg_temp.pick(n, 150, 2) = 0 THEN pg_temp.moment(n, 149) + interval '26 hours' END,
    CASE WHEN pg_temp.pick(n, 151, 40) = 0 THEN 1 END
FROM generate_series(1, $ticket) AS n;

-- One in 200 notes is of a ticket that is gone.
INSERT INTO public.ticket_note
SELECT n, CASE WHEN pg_temp.pick(n, 160, 200) = 0 THEN $ticket + n ELSE 1 + pg_temp.pick(n, 161, $ticket) END,
    pg_temp.one_of(ARRAY['tech', 'client', 'system'], n, 162), format('Note %s: vu, à suivre', pg_temp.pick(n, 163, 100000)),
    pg_temp.moment(n, 164)
FROM generate_series(1, $ticket_note) AS n;

INSERT INTO public.visit
SELECT n, 1 + pg_temp.pick(n, 170, $ticket), 1 + pg_temp.pick(n, 171, $technician), pg_temp.moment(n, 172),
    15 + pg_temp.pick(n, 173, 200), (15 + pg_temp.pick(n, 173, 200)) * 1.15::double precision
FROM generate_series(1, $visit) AS n;

INSERT INTO public.part
SELECT n, format('Pièce %s', n), (200 + pg_temp.pick(n, 180, 20000)) / 100.0::double precision, pg_temp.pick(n, 181, 50)
FROM generate_series(1, $part) AS n;

-- One in 60 is of a visit that was deleted; the same part of the same visit may stand there twice.
INSERT INTO public.part_used
SELECT CASE WHEN pg_temp.pick(n, 190, 60) = 0 THEN $visit + n ELSE 1 + pg_temp.pick(n, 191, $visit) END,
    1 + pg_temp.pick(n, 192, $part), 1 + pg_temp.pick(n, 193, 3)
FROM generate_series(1, $part_used) AS n;

INSERT INTO public.contract
SELECT n, format('C%s', 20000 + n), 1 + pg_temp.pick(n, 200, $customer), pg_temp.moment(n, 201)::date,
    CASE WHEN pg_temp.pick(n, 202, 3) > 0 THEN pg_temp.moment(n, 201)::date + 1095 END,
    (5000 + pg_temp.pick(n, 203, 90000)) / 100.0::double precision, pg_temp.one_of(ARRAY['EUR', 'eur', 'Eur', 'CHF'], n, 204),
    pg_temp.one_of(ARRAY['signed', 'Signed', 'ended', 'ENDED', NULL], n, 205)
FROM generate_series(1, $contract) AS n;

INSERT INTO public.contract_printer
SELECT 1 + n / $machines_a_contract % $contract, 1 + (n * 7) % $printer,
    (40 + pg_temp.pick(n, 210, 60)) / 10000.0::double precision, (400 + pg_temp.pick(n, 211, 300)) / 10000.0::double precision
FROM generate_series(0, $contract_printer - 1) AS n;

INSERT INTO public.invoice
SELECT n, format('F%s', 100000 + n), 1 + pg_temp.pick(n, 220, $customer),
    CASE WHEN pg_temp.pick(n, 221, 3) > 0 THEN 1 + pg_temp.pick(n, 222, $contract) END, pg_temp.moment(n, 223),
    pg_temp.moment(n, 223)::date + 30, (1 + pg_temp.pick(n, 224, 300)) * 19.99::double precision,
    pg_temp.one_of(ARRAY['draft', 'sent', 'Sent', 'paid', 'PAID', 'payé', 'cancelled', NULL], n, 225)
FROM generate_series(1, $invoice) AS n;

-- One in 400 lines is of an invoice that is gone.
INSERT INTO public.invoice_line
SELECT n, CASE WHEN pg_temp.pick(n, 230, 400) = 0 THEN $invoice + n ELSE 1 + pg_temp.pick(n, 231, $invoice) END,
    pg_temp.one_of(ARRAY['Pages noir', 'Pages couleur', 'Forfait', 'Toner'], n, 232), quantity, price, quantity * price
FROM generate_series(1, $invoice_line) AS n
CROSS JOIN LATERAL (SELECT 1 + pg_temp.pick(n, 233, 9), (10 + pg_temp.pick(n, 234, 5000)) / 100.0::double precision)
    AS sold (quantity, price);

INSERT INTO public.payment
SELECT n, CASE WHEN pg_temp.pick(n, 240, 100) > 0 THEN 1 + pg_temp.pick(n, 241, $invoice) END,
    (100 + pg_temp.pick(n, 242, 500000)) / 100.0::double precision, pg_temp.moment(n, 243),
    pg_temp.one_of(ARRAY['transfer', 'Transfer', 'virement', 'card', 'CARD', 'cheque'], n, 244)
FROM generate_series(1, $payment) AS n;
