"""The models of a workspace: what serves, where versions come from, promotion and rollback."""
