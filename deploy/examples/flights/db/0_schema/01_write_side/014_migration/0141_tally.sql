CREATE TABLE migration.tb_tally (
    subject text PRIMARY KEY,
    rows    bigint NOT NULL,

    CONSTRAINT tally_counts_up CHECK (rows >= 0)
);

COMMENT ON TABLE migration.tb_tally IS 'Rows of the old tables by what is odd about them, counted there.';
