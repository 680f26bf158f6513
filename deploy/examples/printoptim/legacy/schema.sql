-- The old system as it grew since 2010: serial keys, hardly a constraint, statuses as people typed them, an address in one
-- column, money as floats, moments as the clocks in Paris showed them.
CREATE TABLE public.country (code text, name text);

CREATE TABLE public.settings (name text, value text);

CREATE TABLE public.label (lang text, key text, text text);  -- what the screens say: 'customer.active' → 'Actif'

CREATE TABLE public.customer (
    id       serial PRIMARY KEY,
    name     text,
    vat      text,                      -- typed by hand; the same company may be there twice
    email    text,
    phone    text,
    address  text,                      -- '12 rue des Lilas, 75011 Paris, FR', or whatever was known
    status   text,
    created  timestamp,
    modified timestamp,
    deleted  integer                    -- 1: yes, 0 and NULL: no
);

-- Sales found the duplicates years ago, and made this instead of removing them.
CREATE VIEW public.customer_master AS
SELECT id, CASE WHEN vat IS NULL THEN id ELSE min(id) OVER (PARTITION BY upper(replace(vat, ' ', ''))) END AS master_id
FROM public.customer;

CREATE TABLE public.contact (
    id          serial PRIMARY KEY,
    customer_id integer,
    name        text,
    email       text,
    role        text,
    modified    timestamp,
    deleted     integer
);

CREATE TABLE public.location (id serial PRIMARY KEY, customer_id integer, name text, address text);

CREATE TABLE public.app_user (
    id          serial PRIMARY KEY,
    login       text,
    customer_id integer,
    role        text,
    password    text,
    last_login  timestamp
);

CREATE TABLE public.session (token text, user_id integer, payload text, expires timestamp);

CREATE TABLE public.import_2014 (line integer, content text);  -- nobody knows any more

CREATE TABLE public.manufacturer (id serial PRIMARY KEY, name text);

CREATE TABLE public.model (
    id              serial PRIMARY KEY,
    manufacturer_id integer,
    name            text,
    colour          text,               -- Y, N, yes, no
    ppm             integer,
    list_price      double precision
);

CREATE TABLE public.printer (
    id             serial PRIMARY KEY,
    serial         text,
    model_id       integer,
    customer_id    integer,             -- NULL: in stock
    location_id    integer,
    status         text,
    installed      timestamp,
    ip             text,
    purchase_price double precision,
    deleted_at     timestamp
);

CREATE TABLE public.reading (
    id         serial PRIMARY KEY,
    printer_id integer,
    read_at    timestamp DEFAULT (clock_timestamp() AT TIME ZONE 'Europe/Paris'),
    mono       integer,
    colour     integer,
    source     text
);

-- No key, and the same line is there more than once: the collector repeated itself.
CREATE TABLE public.status_log (printer_id integer, at timestamp, status text, note text);

CREATE TABLE public.supply (id serial PRIMARY KEY, sku text, name text, price double precision);

CREATE TABLE public.supply_level (printer_id integer, supply_id integer, percent integer, seen timestamp);

CREATE TABLE public.supply_order (
    id          serial PRIMARY KEY,
    customer_id integer,
    printer_id  integer,
    supply_id   integer,
    quantity    integer,
    status      text,
    ordered     timestamp,
    shipped     timestamp
);

CREATE TABLE public.technician (id serial PRIMARY KEY, name text, phone text, active text);

CREATE TABLE public.ticket (
    id            serial PRIMARY KEY,
    printer_id    integer,
    customer_id   integer,
    technician_id integer,
    subject       text,
    status        text,
    priority      text,
    opened        timestamp DEFAULT (clock_timestamp() AT TIME ZONE 'Europe/Paris'),
    closed        timestamp,
    deleted       integer
);

CREATE TABLE public.ticket_note (id serial PRIMARY KEY, ticket_id integer, author text, note text, written timestamp);

CREATE TABLE public.visit (
    id            serial PRIMARY KEY,
    ticket_id     integer,
    technician_id integer,
    started       timestamp,
    minutes       integer,
    cost          double precision
);

CREATE TABLE public.part (id serial PRIMARY KEY, name text, price double precision, stock integer);

CREATE TABLE public.part_used (visit_id integer, part_id integer, quantity integer);

CREATE TABLE public.contract (
    id          serial PRIMARY KEY,
    number      text,
    customer_id integer,
    starts      date,
    ends        date,
    monthly     double precision,
    currency    text,
    status      text
);

CREATE TABLE public.contract_printer (
    contract_id integer,
    printer_id  integer,
    mono_rate   double precision,
    colour_rate double precision
);

CREATE TABLE public.invoice (
    id          serial PRIMARY KEY,
    number      text,
    customer_id integer,
    contract_id integer,
    issued      timestamp,
    due         date,
    total       double precision,
    status      text
);

CREATE TABLE public.invoice_line (
    id         serial PRIMARY KEY,
    invoice_id integer,
    text       text,
    quantity   integer,
    price      double precision,
    amount     double precision         -- quantity * price, as floats multiply
);

CREATE TABLE public.payment (
    id         serial PRIMARY KEY,
    invoice_id integer,                 -- NULL: nobody knows what for
    amount     double precision,
    paid       timestamp,
    method     text
);
