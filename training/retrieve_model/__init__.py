"""Supervised training of the retrieve model, and the choice of how it is served."""
