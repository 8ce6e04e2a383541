"""What the author of an objective probably meant: rules, diagnoses, and fixes that are tried."""
