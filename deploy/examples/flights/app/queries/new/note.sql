SELECT
    pk_note AS id,
    airline.identifier AS airline,
    flight_number AS number,
    to_char(flight_date, 'YYYY-MM-DD') AS date,
    body,
    to_char(written_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS written
FROM operations.tb_note
JOIN reference.tb_airline airline ON pk_airline = fk_airline
WHERE pk_note = %(id)s
