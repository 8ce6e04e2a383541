"""Proofs that two objectives differ: exact numbers that no values of the parameters explain."""
