"""Training runs: the loop that the stages share, run folders, settings, curves, and rows that survive a stop."""
