"""Episodes: the state machine of one question, the grammar of its actions, query terms, and question generation."""
