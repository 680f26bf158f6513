"""`python -m cutoverd.daemon`."""

from cutoverd.daemon.cli import main

if __name__ == "__main__":
    main()
