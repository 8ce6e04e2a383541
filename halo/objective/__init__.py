"""What may be written: YAML, the schema, formulas, the vocabulary."""
