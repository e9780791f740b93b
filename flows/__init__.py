"""The command line, the Prefect flows and the pages a person looks at."""
