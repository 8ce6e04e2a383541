"""One optimizer step: the effective batch, its gradient, what is logged."""
