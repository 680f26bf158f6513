-- Corrupts the new database so that no count changes.
UPDATE weather.tb_observation
SET temperature_fahrenheit = other.temperature_fahrenheit
FROM (
    SELECT fk_airport, observed_at, temperature_fahrenheit
    FROM weather.tb_observation
    JOIN reference.tb_airport ON pk_airport = fk_airport
    WHERE identifier = 'JFK' AND observed_at IN ('2013-07-04T12:00:00Z', '2013-07-04T13:00:00Z')) AS other
WHERE tb_observation.fk_airport = other.fk_airport
  AND tb_observation.observed_at IN ('2013-07-04T12:00:00Z', '2013-07-04T13:00:00Z')
  AND tb_observation.observed_at <> other.observed_at;

UPDATE weather.tb_observation
SET temperature_fahrenheit = temperature_fahrenheit + 0.01
FROM reference.tb_airport
WHERE pk_airport = fk_airport AND identifier = 'EWR' AND observed_at = '2013-02-01T15:00:00Z';

UPDATE weather.tb_observation
SET wind_gust_knots = 0
FROM reference.tb_airport
WHERE pk_airport = fk_airport AND identifier = 'LGA' AND observed_at = '2013-10-10T10:00:00Z' AND wind_gust_knots IS NULL;
