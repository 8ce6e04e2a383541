"""People's verdicts: a blind sheet goes out with its key kept apart, and what they filled in comes back as scores."""
