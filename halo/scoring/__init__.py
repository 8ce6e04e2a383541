"""How likely a model finds a completion: rows, shared prompts, the chunked head, whole distributions."""
