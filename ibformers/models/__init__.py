"""Base models and their loading."""
