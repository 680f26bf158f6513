CREATE TABLE fleet.tv_machine (
    pk_machine integer PRIMARY KEY REFERENCES fleet.tb_machine (pk_machine),
    id uuid NOT NULL UNIQUE,
    data jsonb NOT NULL
);

CREATE FUNCTION fleet.refresh_tv_machine() RETURNS bigint
    LANGUAGE sql
    BEGIN ATOMIC
        WITH projected AS (
            INSERT INTO fleet.tv_machine (pk_machine, id, data)
            SELECT machine.pk_machine, machine.id, jsonb_build_object(
                'serial', machine.identifier, 'status', status.identifier, 'model', model.identifier,
                'manufacturer', manufacturer.name, 'customer', customer.identifier)
            FROM fleet.tb_machine machine
            JOIN fleet.tb_machine_status status ON pk_machine_status = fk_machine_status
            LEFT JOIN fleet.tb_model model ON pk_model = fk_model
            LEFT JOIN fleet.tb_manufacturer manufacturer ON pk_manufacturer = fk_manufacturer
            LEFT JOIN crm.tb_customer customer ON pk_customer = fk_customer
            ON CONFLICT (pk_machine) DO UPDATE SET data = excluded.data
            RETURNING 1
        )
        SELECT count(*) FROM projected;
    END;
