"""Read models, pure functions of events: the status document, the live tree, event lines, the summary, the diagram."""
