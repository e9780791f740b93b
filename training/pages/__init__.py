"""Synthetic pages: documents of known structure, rendered and damaged."""
