"""Evaluation: suites on labelled sets, baselines, environments of episodes, drift, and the promotion gate."""
