"""An objective as curves: value function, loss and slope, computed and drawn."""
