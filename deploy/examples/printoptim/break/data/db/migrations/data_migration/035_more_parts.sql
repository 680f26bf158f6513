-- The first statement works, the second meets part_stock_is_counted: nothing of either may stay.
INSERT INTO fleet.tb_part (pk_part, identifier, name, price, stock) VALUES (9001, 'PART-9001', 'Tambour', 40.00, 1);
INSERT INTO fleet.tb_part (pk_part, identifier, name, price, stock) VALUES (9002, 'PART-9002', 'Courroie', 12.50, -1);
