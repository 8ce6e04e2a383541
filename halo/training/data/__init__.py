"""Which examples a run has, and which of them a step sees."""
