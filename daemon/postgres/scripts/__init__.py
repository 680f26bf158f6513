"""The port Scripts: SQL files through psql, each call one transaction with its ledger row."""
