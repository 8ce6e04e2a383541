"""What runs with nothing given: the embedded policy, its feedback and its metric."""
