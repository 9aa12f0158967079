"""Running pushed code: the job queue, the worker processes, and what they are started with."""
