"""The Prefect flows: thin wrappers with retries, schedules, progress and artifacts."""
