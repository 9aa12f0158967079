"""Running cases: one event loop waits for all of them at once."""
