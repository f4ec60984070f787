"""Training: stages, their loop, checkpoints."""
