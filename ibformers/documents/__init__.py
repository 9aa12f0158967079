"""OCR documents, and the Annotator projects that annotate them."""
