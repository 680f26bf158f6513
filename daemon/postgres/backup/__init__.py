"""The port Backups: dumps that count only once they were restored."""
