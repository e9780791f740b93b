"""The store: immutable generations of chunks with their indexes, and the workspace that names the current one."""
