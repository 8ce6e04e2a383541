"""A graph as the source of one torch function."""
