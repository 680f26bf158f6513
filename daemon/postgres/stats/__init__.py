"""What the server says of itself: running queries, and samples for Monitor."""
