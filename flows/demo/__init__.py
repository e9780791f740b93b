"""The demo: the whole loop on a folder of documents, once."""
