"""The schema builder confiture: what it built, what it refused, and which source a line came from."""
