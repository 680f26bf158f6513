-- As it was run by hand for years; a script that commits leaves the transaction that its ledger row is in.
INSERT INTO fleet.tb_part (pk_part, identifier, name, price, stock) VALUES (9001, 'PART-9001', 'Tambour', 40.00, 1);
COMMIT;
