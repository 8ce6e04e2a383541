"""What is true of an objective: one file for each group of propositions, and the results as plain data."""
