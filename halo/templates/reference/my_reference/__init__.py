"""A reference for halo: a frozen copy mixed with the uniform distribution."""
