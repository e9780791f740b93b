"""Retraining: a cycle from the log to a promoted version, through the gate, and the drift that calls for one."""
