"""Lightweight markup languages that are written out in Markdown form."""
