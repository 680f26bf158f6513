INSERT INTO operations.tb_note (fk_airline, flight_number, flight_date, body)
SELECT pk_airline, %(number)s, %(date)s::date, %(body)s
FROM reference.tb_airline
WHERE identifier = %(airline)s
RETURNING pk_note AS id
