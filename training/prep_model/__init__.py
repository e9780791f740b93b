"""Supervised and contrastive training of the prep model, and of the ranking weights; its release."""
