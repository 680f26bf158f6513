-- An hour repeats in the old key where clocks went back; time_hour tells the two apart.
INSERT INTO weather.tb_observation (
    id, fk_airport, observed_at, fold,
    temperature_fahrenheit, dew_point_fahrenheit, relative_humidity,
    wind_direction_degrees, wind_speed_knots, wind_gust_knots,
    precipitation_inches, pressure_millibars, visibility_miles)
SELECT
    common.migrated_id('observation', origin || '/' || time_hour),
    airport.pk_airport,
    time_hour::timestamptz,
    row_number() OVER (PARTITION BY origin, year, month, day, hour ORDER BY time_hour::timestamptz) - 1,
    temp, dewp, humid,
    wind_dir,
    CASE WHEN common.knots(wind_speed) <= 200 THEN common.knots(wind_speed) END,
    CASE WHEN common.knots(wind_gust) <= 250 THEN common.knots(wind_gust) END,
    precip, pressure, visib
FROM public.weather
LEFT JOIN reference.tb_airport airport ON airport.identifier = origin
ORDER BY origin, time_hour;

-- No wind blows at 1048 miles per hour (one reading): it is kept as suspect, and the observation has none.
INSERT INTO weather.tb_suspect_reading (id, fk_observation, quantity, reading)
SELECT
    common.migrated_id('suspect_reading', observation.id || '/' || suspect.quantity),
    observation.pk_observation, suspect.quantity, suspect.reading
FROM public.weather
JOIN reference.tb_airport airport ON airport.identifier = origin
JOIN weather.tb_observation observation
    ON (observation.fk_airport, observation.observed_at) = (airport.pk_airport, time_hour::timestamptz)
CROSS JOIN LATERAL (VALUES
    ('wind_speed_knots', common.knots(wind_speed), 200),
    ('wind_gust_knots', common.knots(wind_gust), 250)) AS suspect (quantity, reading, highest)
WHERE suspect.reading > suspect.highest
ORDER BY observation.pk_observation, suspect.quantity;

ANALYZE weather.tb_observation, weather.tb_suspect_reading;
