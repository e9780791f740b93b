"""Reinforcement learning: of reports, by trl, and of cuts."""
