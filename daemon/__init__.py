"""The world: the loop, its adapters and the command line. Start at `runtime/drive.py`, then `engine/loop.py`, then `states/`."""
