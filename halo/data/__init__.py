"""What examples are: files, formats, conversion, tokenizing, mixing and streaming."""
