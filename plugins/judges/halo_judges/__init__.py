"""Who says which answer is better: a model behind an endpoint, or people with a sheet. And samples from such an endpoint."""
