"""First-party data formats. They use nothing of halo that a third party could not use."""
