"""Training a model with an objective: settings, model, data, one step, saving, the whole run."""
