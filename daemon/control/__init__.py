"""What a person does to a run: check, send and await the reply, observe, finalize, draft a plan. No daemon needed."""
