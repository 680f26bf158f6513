"""This machine: child processes, the process table, files, locks, cancellation, the clock."""
