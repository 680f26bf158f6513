"""Compose and drive one run: the bus, the leadership, the ports, the loop, the progress."""
