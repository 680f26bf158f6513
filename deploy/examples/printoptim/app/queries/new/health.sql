SELECT current_database() AS database, count(*) AS machines FROM fleet.tb_machine
