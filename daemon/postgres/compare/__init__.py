"""Old and new, row by row."""
