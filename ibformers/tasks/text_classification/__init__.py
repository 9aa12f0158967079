"""Text classification: one label for each row of a table."""
