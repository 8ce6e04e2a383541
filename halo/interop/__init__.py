"""Other frameworks: a halo loss in their trainers, and their configurations in halo."""
