"""Small whole batches, written out as scalars: what refutes there can occur."""
