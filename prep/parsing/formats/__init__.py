"""One parser a format: bytes or text to text with its structure in Markdown form, each imported at its first file."""
