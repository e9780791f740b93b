"""The models of a workspace: serving versions, lineage, gate decisions, promotion and rollback, measurement."""
