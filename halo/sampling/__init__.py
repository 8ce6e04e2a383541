"""Completions for prompts: which are asked for, how they are drawn, and the folder that holds them."""
