"""Running cases: the engine that waits for all of them at once, and the story of each."""
