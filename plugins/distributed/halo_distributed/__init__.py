"""First-party backends that shard the policy. They use nothing of halo that a third party could not use."""
