"""What `halo eval` can measure: each file a few measures of one prompt's answers."""
