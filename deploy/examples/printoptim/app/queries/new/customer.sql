SELECT
    pk_customer AS id,
    customer.name,
    status.identifier AS status,
    coalesce(unstructured, street || ', ' || postal_code || ' ' || city || ', ' || country.identifier) AS address,
    (SELECT count(*) FROM fleet.tb_machine WHERE fk_customer = pk_customer) AS machines
FROM crm.tb_customer customer
JOIN crm.tb_customer_status status ON pk_customer_status = fk_customer_status
LEFT JOIN crm.tb_address ON pk_address = fk_address
LEFT JOIN common.tb_country country ON pk_country = fk_country
WHERE pk_customer = coalesce((SELECT fk_customer FROM crm.tb_customer_alias WHERE pk_customer_alias = %(id)s), %(id)s)
