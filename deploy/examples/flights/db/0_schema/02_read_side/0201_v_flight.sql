CREATE VIEW operations.v_flight AS
SELECT
    flight.flight_date,
    airline.identifier AS airline,
    airline.name AS airline_name,
    flight.flight_number,
    origin.identifier AS origin,
    destination.identifier AS destination,
    aircraft.identifier AS tail_number,
    (flight.scheduled_departure AT TIME ZONE origin.time_zone)::time AS scheduled_departure,
    flight.departure_delay_minutes,
    flight.arrival_delay_minutes,
    flight.status
FROM operations.tb_flight flight
JOIN reference.tb_airline airline ON airline.pk_airline = flight.fk_airline
JOIN reference.tb_airport origin ON origin.pk_airport = flight.fk_origin
JOIN reference.tb_airport destination ON destination.pk_airport = flight.fk_destination
LEFT JOIN fleet.tb_aircraft aircraft ON aircraft.pk_aircraft = flight.fk_aircraft;
