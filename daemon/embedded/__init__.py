"""Servers of our own: a nats-server and a PostgreSQL, started, kept and stopped."""
