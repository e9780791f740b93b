"""Candidates: training data from a workspace, and a stage of training on it."""
