"""Which commands, in which order?  A recipe is a file of stages; each stage is one of halo's commands."""
