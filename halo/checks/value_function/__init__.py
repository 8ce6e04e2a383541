"""What is true of v(z) alone: does it rise, bend, level off, and how steep is it?"""
