SELECT current_database() AS database, count(*) AS airlines FROM reference.tb_airline
