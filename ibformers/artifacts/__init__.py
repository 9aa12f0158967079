"""What is written after training."""
