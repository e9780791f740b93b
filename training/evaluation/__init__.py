"""Evaluation: suites on labelled sets, the baselines beside them, drift, and the promotion gate."""
