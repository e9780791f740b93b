"""What a PDF file holds, through PDFium: words, lines and pictures, annotations, outline, recognised text."""
