"""How two objectives are related: equal, scaled, a special case or different, with proof."""
