SELECT
    pk_meter_reading AS id,
    identifier AS serial,
    to_char(common.clock(read_at), 'YYYY-MM-DD"T"HH24:MI:SS') AS read_at,
    mono_pages AS mono,
    colour_pages AS colour
FROM fleet.tb_meter_reading
JOIN fleet.tb_machine ON pk_machine = fk_machine
WHERE pk_meter_reading = %(id)s
