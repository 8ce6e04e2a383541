"""Ids that a sampler wrote, in the columns of a row, and the rows of ids that they make."""
