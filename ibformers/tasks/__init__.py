"""What a model is trained to do with documents."""
