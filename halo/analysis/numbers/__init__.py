"""The numbers that formulas are evaluated on: floats, many digits, exact fractions, and intervals that hold what is not one."""
