"""Reinforcement learning: of the retrieve model's reports, by trl, and of the prep model's cuts."""
