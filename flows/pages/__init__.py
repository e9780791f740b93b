"""The pages a person looks at: of a run, and of a workspace over time."""
