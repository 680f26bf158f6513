"""What is outside the database: services, traffic, checks, Monitor's samples."""
