CREATE TABLE migration.tb_skipped_moment (
    source text NOT NULL,
    legacy_id integer NOT NULL,
    legacy_column text NOT NULL,
    shown timestamp NOT NULL,

    PRIMARY KEY (source, legacy_id, legacy_column)
);

COMMENT ON TABLE migration.tb_skipped_moment IS 'What no clock in Paris ever showed: between two and three on the last Sunday in March.';

-- What the old system wrote down for this moment; only in that hour of March it may be another than the clock's.
CREATE FUNCTION migration.as_shown(source text, legacy_id integer, legacy_column text, moment timestamptz) RETURNS timestamp
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE
        WHEN to_char(common.clock(moment), 'MM HH24') = '03 03' THEN coalesce(
            (SELECT kept.shown FROM migration.tb_skipped_moment kept
             WHERE (kept.source, kept.legacy_id, kept.legacy_column) = (as_shown.source, as_shown.legacy_id, as_shown.legacy_column)),
            common.clock(moment))
        ELSE common.clock(moment)
    END;
