"""The journal and the commands on NATS JetStream."""
