"""What happens where a line of values ends: limits far out and at numbers, and poles between."""
