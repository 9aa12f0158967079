"""Comparing metrics with their minimums, predictions at inference with those at training: values in, verdict out."""
