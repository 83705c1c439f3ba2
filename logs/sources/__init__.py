"""The ways in: what a body or an entry holds (`json_lines`), and which streams and channels are read."""
