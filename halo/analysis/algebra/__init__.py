"""A formula as a rational function of independent generators: its normal form, its factors, the sign of a polynomial."""
