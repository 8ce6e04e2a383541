"""What does a program call?  The functions that `halo` offers, each a few lines over the room that does the work."""
