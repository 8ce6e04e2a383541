"""An objective as a graph: names, roles, levels, terms and reductions made explicit."""
