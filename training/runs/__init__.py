"""Training runs on disk: configuration, checkpoints, logs, curves, and rows that survive an interruption."""
