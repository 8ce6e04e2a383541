"""How good is a model?  Contestants, their answers, what evaluators measure of them, and the report."""
