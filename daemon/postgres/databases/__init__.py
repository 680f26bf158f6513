"""The port Databases: fence, clone, swap, and back."""
