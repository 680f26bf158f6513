-- Corrupts the new database so that no count changes: two readings swapped, a moment an hour off, a cent lost, a missing count
-- that became 0.
UPDATE fleet.tb_meter_reading
SET mono_pages = (
    SELECT other.mono_pages FROM fleet.tb_meter_reading other
    WHERE other.pk_meter_reading = 201 - tb_meter_reading.pk_meter_reading)
WHERE pk_meter_reading IN (100, 101);

UPDATE fleet.tb_meter_reading SET read_at = read_at + interval '1 hour' WHERE pk_meter_reading = 333;

UPDATE fleet.tb_meter_reading SET colour_pages = 0 WHERE pk_meter_reading = 406 AND colour_pages IS NULL;

UPDATE billing.tb_payment SET amount = amount + 0.01 WHERE pk_payment = 7;
