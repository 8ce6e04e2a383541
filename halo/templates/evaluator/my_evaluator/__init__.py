"""An evaluator for halo: full stops and sentences in a model's answers."""
