"""Reports: what a question is answered with, and how that is shown."""
