"""The vocabulary: facts and commands as models, their bytes, and the subjects they travel on. Pure."""
