\ir item.sql
CREATE DATABASE cutoverd OWNER app_user;
REVOKE ALL ON DATABASE cutoverd FROM PUBLIC;
