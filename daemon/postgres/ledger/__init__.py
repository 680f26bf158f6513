"""The ledger database: who may act, what was done, and which database is which."""
