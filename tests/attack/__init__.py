"""The second attacker: whole random batches, and autograd of the compiled loss. Nothing of the checks is imported."""
