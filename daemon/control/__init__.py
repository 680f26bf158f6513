"""What a person does to a run: check, send, observe, finalize, draft a plan. No daemon needed."""
