\ir item.sql
ALTER DATABASE app SET datestyle = 'German, DMY';
