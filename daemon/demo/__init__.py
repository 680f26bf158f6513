"""The demonstration: a PostgreSQL and a NATS of its own, a year of flights, two services, and a night of ours."""
