"""Versions of a model on disk, and packages of trained models."""
