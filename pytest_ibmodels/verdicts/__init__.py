"""Pure comparisons: metrics against bounds, a new model against the one in use, inference against training."""
