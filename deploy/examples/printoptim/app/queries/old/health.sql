SELECT current_database() AS database, count(*) AS machines FROM public.printer
