"""First-party data formats. They use nothing of halo that a stranger could not use."""
