"""A run put together and turned: assembly, the reference, the loop, what it will take."""
