"""The port Validation: what proves that new holds what old held."""
