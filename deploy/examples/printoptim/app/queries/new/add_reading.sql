INSERT INTO fleet.tb_meter_reading (fk_machine, mono_pages, colour_pages, source)
SELECT pk_machine, %(mono)s, %(colour)s, 'api'
FROM fleet.tb_machine
WHERE identifier = %(serial)s
RETURNING pk_meter_reading AS id
