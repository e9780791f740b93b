"""The prep model: its encoder, how a document is read, cut and given headings, roles and vectors."""
