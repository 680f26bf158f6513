INSERT INTO fleet.tb_aircraft_model (id, identifier, manufacturer, model, category, engine_type, engine_count, seat_count)
SELECT common.migrated_id('aircraft_model', identifier), identifier, manufacturer, model, type, engine, engines, seats
FROM (SELECT DISTINCT manufacturer, model, type, engine, engines, seats FROM public.planes) known
CROSS JOIN LATERAL concat_ws(' / ', manufacturer, model, type, engine, engines, seats) AS identifier
ORDER BY identifier;

INSERT INTO fleet.tb_aircraft (id, identifier, registered, fk_aircraft_model, built_in, cruise_speed_mph)
SELECT common.migrated_id('aircraft', tailnum), tailnum, true, pk_aircraft_model, year, speed
FROM public.planes
LEFT JOIN fleet.tb_aircraft_model aircraft_model
    ON  (aircraft_model.manufacturer, aircraft_model.model) = (planes.manufacturer, planes.model)
    AND (aircraft_model.category, aircraft_model.engine_type) = (planes.type, planes.engine)
    AND (aircraft_model.engine_count, aircraft_model.seat_count) = (planes.engines, planes.seats)
ORDER BY tailnum;

-- Flights name aircraft that the register lacks (50,094 flights of 721 aircraft): these are aircraft, only not registered.
INSERT INTO fleet.tb_aircraft (id, identifier, registered)
SELECT common.migrated_id('aircraft', tailnum), tailnum, false
FROM (SELECT DISTINCT tailnum FROM public.flights WHERE tailnum IS NOT NULL) named
WHERE NOT EXISTS (SELECT FROM public.planes listed WHERE listed.tailnum = named.tailnum)
ORDER BY tailnum;

ANALYZE fleet.tb_aircraft_model, fleet.tb_aircraft;
