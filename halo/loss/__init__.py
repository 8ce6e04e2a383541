"""What runs: the inputs of a loss, the loss function, the torch functions that it calls, its validation."""
