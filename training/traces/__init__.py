"""Supervised traces: whole episodes with the right actions, and how they are packed into batches."""
