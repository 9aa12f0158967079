"""Readers of sources: one module per format."""
