"""First-party reference strategies. They use nothing of halo that a third party could not use."""
