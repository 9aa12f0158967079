"""Extraction: every word of a document belongs to one field, or to none."""
