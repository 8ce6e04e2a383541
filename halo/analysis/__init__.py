"""What is true of a formula: its range, curvature, normal form and signs, its limits, and the procedure that decides."""
