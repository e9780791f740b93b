"""Metrics: pure functions of what was found and what is right, and how sure a difference is."""
