"""How sure is a number?  Intervals by a bootstrap over prompts, what is estimated of several samples, and length. No torch."""
