"""Everything that is asked of PostgreSQL or done to it. Each port that is about it has a sub-package of its name."""
