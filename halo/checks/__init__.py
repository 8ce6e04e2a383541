"""What is true of an objective: a file for each check in the folder of its group, and the results as plain data."""
