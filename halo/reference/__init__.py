"""Against what a policy is measured: strategies that come with halo, and fingerprints of weights."""
