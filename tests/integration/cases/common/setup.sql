\ir item.sql
