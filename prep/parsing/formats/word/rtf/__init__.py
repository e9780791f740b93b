"""RTF: Rich Text Format."""
