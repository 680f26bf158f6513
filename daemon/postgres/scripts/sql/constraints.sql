-- At the end of the transaction, where psql could not say any more whose file it was.
SET CONSTRAINTS ALL IMMEDIATE;
