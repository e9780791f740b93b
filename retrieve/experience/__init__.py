"""The experience log: questions, reports and feedback, kept in one SQLite file."""
