"""Versions of a model on disk, and the package of a trained model."""
