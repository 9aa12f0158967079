"""Routes: one module for each way of training, behind one protocol."""
