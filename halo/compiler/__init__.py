"""What an objective means: a graph of quantities with their axes, units, stability rewrites, and the whole pipeline."""
