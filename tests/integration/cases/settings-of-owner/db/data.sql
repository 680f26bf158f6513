INSERT INTO tb_item SELECT id, name || ' ' || date_part('month', '02/01/2026'::date) || current_setting('shop.tenant') FROM item;
DROP TABLE item;
