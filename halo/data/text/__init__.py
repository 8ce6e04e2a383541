"""The text that a model reads: the chat template, and special tokens in what somebody wrote."""
