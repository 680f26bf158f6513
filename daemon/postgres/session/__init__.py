"""Reaching the server: addresses, names, sessions, and the backends that a dead daemon left."""
