"""Is it a human-aware loss? The definition read off the graph, part by part."""
