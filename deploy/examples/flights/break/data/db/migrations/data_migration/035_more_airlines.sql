-- The first statement works, the second meets airline_identifier_is_iata: nothing of either may stay.
INSERT INTO reference.tb_airline (identifier, name) VALUES ('ZZ', 'Nowhere Air');
INSERT INTO reference.tb_airline (identifier, name) VALUES ('nowhere', 'Nowhere Air Cargo');
