SELECT
    data ->> 'serial' AS serial,
    data ->> 'manufacturer' AS manufacturer,
    data ->> 'model' AS model,
    data ->> 'status' AS status,
    data ->> 'customer' AS customer,
    (SELECT mono_pages FROM fleet.tb_meter_reading WHERE fk_machine = pk_machine ORDER BY read_at DESC, pk_meter_reading DESC LIMIT 1)
        AS mono_pages
FROM fleet.tb_machine
JOIN fleet.tv_machine USING (pk_machine)
WHERE identifier = %(serial)s
