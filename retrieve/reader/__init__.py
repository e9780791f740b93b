"""The reader: reads a question with each of the passages that search found, jointly, and scores what they say to it."""
