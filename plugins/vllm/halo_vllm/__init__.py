"""Completions that a vLLM server writes: token ids go in, token ids and their log-probs come out."""
