-- They live on in the old database, which is kept.
DROP TABLE public.airlines, public.airports, public.planes, public.flights, public.weather, public.notes;
DROP SEQUENCE public.notes_seq;
