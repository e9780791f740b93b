"""Labelled sets: read from files, searched in memory, made from a corpus, from the log, or held out for the gate."""
