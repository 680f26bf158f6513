"""The plan file: its models, and how it is read."""
