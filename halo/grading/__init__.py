"""Numbers for completions: rewards and judgements, a file of them for each scorer beside the samples."""
