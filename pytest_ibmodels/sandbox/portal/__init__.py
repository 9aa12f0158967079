"""Portal: the pages of the sandbox for people."""
