"""A sampler for halo: the most likely token each time, now and then the second most likely."""
