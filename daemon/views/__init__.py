"""Read models: pure functions of events, for the terminal, the status and the metrics."""
