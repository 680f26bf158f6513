"""Drawing and printing; nothing here may stop a run."""
