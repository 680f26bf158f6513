CREATE TABLE migration.tb_rounding (
    source text NOT NULL,
    legacy_id integer NOT NULL,
    legacy_column text NOT NULL,
    amount double precision NOT NULL,

    PRIMARY KEY (source, legacy_id, legacy_column)
);

COMMENT ON TABLE migration.tb_rounding IS 'Amounts that were no whole cents: 3 × 19.99 was 59.96999999999999 to the old system.';

-- The amount that the old system had for this number of cents.
CREATE FUNCTION migration.as_float(source text, legacy_id integer, legacy_column text, amount numeric) RETURNS double precision
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(
        (SELECT kept.amount FROM migration.tb_rounding kept
         WHERE (kept.source, kept.legacy_id, kept.legacy_column) = (as_float.source, as_float.legacy_id, as_float.legacy_column)),
        as_float.amount::double precision);
