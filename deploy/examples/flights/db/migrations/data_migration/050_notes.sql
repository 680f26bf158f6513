INSERT INTO operations.tb_note (pk_note, id, fk_airline, flight_number, flight_date, body, written_at)
SELECT
    notes.id, common.migrated_id('note', notes.id::text),
    airline.pk_airline, flight, flight_date::date, note, written::timestamptz
FROM public.notes
LEFT JOIN reference.tb_airline airline ON airline.identifier = carrier
ORDER BY notes.id;
