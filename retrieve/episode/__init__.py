"""One episode: its state machine, the grammar of its actions, and what a question asks for."""
