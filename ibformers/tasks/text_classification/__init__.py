"""Text classification: predict the label of a table's row from its text."""
