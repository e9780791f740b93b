"""Supervised traces: whole episodes with the right actions, and packed examples of several questions."""
