-- As it was run by hand for years; a script that commits leaves the transaction that its ledger row is in.
INSERT INTO reference.tb_airline (identifier, name) VALUES ('ZZ', 'Nowhere Air');
COMMIT;
