GRANT USAGE ON SCHEMA common, reference, fleet, operations, weather TO flights_app;
GRANT SELECT ON ALL TABLES IN SCHEMA reference, fleet, operations, weather TO flights_app;
GRANT INSERT ON operations.tb_note TO flights_app;
