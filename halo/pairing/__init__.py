"""Feedback from scored completions: which of a prompt's completions stand against which."""
