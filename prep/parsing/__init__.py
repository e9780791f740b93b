"""Reading files: folders to documents, a parser for each format, and the process that parses them."""
