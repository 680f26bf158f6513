CREATE TABLE billing.tv_contract (
    pk_contract integer PRIMARY KEY REFERENCES billing.tb_contract (pk_contract),
    data jsonb NOT NULL
);

-- The rehearsal applies the schema to a copy, where this passes.
DO $$
BEGIN
    IF current_database() LIKE '%\_next' THEN
        RAISE EXCEPTION 'contracts cannot be projected in %', current_database();
    END IF;
END
$$;
