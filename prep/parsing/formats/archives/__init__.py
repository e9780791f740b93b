"""Files that hold files: archives, compressed files and books of pages."""
