"""Supervised training of the retrieve model, the choice of its serving settings, and its release."""
