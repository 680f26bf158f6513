GRANT USAGE ON SCHEMA common, crm, fleet, billing TO printoptim_app;
GRANT SELECT ON ALL TABLES IN SCHEMA common, crm, fleet, billing TO printoptim_app;
GRANT INSERT ON fleet.tb_meter_reading, fleet.tb_ticket TO printoptim_app;
