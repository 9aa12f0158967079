"""What is read: OCR documents and the datasets that annotate them."""
