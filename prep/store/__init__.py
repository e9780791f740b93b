"""The store: the workspace, immutable generations, and search by vectors and words."""
