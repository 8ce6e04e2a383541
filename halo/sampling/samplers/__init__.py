"""Ways to get completions: drawn token by token, searched for by beams, or given by the data."""
