SELECT current_database() AS database, count(*) AS airlines FROM public.airlines
