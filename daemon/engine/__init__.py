"""The event-sourced loop: next action, act, append the outcome, evolve. It knows no adapter."""
