"""Base models, and how they are loaded."""
