CREATE TABLE migration.tb_tally (
    subject text PRIMARY KEY,
    rows bigint NOT NULL
);

COMMENT ON TABLE migration.tb_tally IS 'Rows of the old tables, counted there before they went.';
