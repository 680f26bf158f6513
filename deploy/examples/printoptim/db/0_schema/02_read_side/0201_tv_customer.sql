CREATE TABLE crm.tv_customer (
    pk_customer integer PRIMARY KEY REFERENCES crm.tb_customer (pk_customer),
    id uuid NOT NULL UNIQUE,
    data jsonb NOT NULL
);

CREATE FUNCTION crm.refresh_tv_customer() RETURNS bigint
    LANGUAGE sql
    BEGIN ATOMIC
        WITH projected AS (
            INSERT INTO crm.tv_customer (pk_customer, id, data)
            SELECT customer.pk_customer, customer.id, jsonb_build_object(
                'identifier', customer.identifier, 'name', customer.name, 'status', status.identifier,
                'city', address.city, 'sites', (SELECT count(*) FROM crm.tb_site WHERE fk_customer = customer.pk_customer),
                'machines', (SELECT count(*) FROM fleet.tb_machine WHERE fk_customer = customer.pk_customer))
            FROM crm.tb_customer customer
            JOIN crm.tb_customer_status status ON pk_customer_status = fk_customer_status
            LEFT JOIN crm.tb_address address ON pk_address = fk_address
            ON CONFLICT (pk_customer) DO UPDATE SET data = excluded.data
            RETURNING 1
        )
        SELECT count(*) FROM projected;
    END;
