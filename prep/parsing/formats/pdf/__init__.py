"""PDF to text, by subject: the file, its pages' content, lines, tables, reading order, furniture, blocks, text."""
