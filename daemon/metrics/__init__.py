"""Prometheus: what `/metrics` serves, and who scrapes it."""
