"""Reading SQL files as psql does: pure functions of text."""
