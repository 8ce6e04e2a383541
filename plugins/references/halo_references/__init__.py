"""First-party reference strategies. They use nothing of halo that a stranger could not use."""
