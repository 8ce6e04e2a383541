"""A backend for halo: one process, deterministic algorithms only."""
