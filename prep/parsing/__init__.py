"""Reading files: folders to documents, one parser a format, and the limited process that parses them."""
