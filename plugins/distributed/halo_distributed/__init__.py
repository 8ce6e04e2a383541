"""First-party backends that shard the policy. They use nothing of halo that a stranger could not use."""
