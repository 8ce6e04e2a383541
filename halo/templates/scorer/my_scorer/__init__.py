"""A scorer for halo: how near an answer comes to a number of words."""
