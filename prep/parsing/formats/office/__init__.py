"""Presentations and spreadsheets: slides, sheets, charts, and cells as their formats show them."""
