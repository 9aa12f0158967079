"""Execution of pushed code: the job queue and the worker processes."""
