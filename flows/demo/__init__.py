"""The demo: the whole loop once, on a folder of documents."""
