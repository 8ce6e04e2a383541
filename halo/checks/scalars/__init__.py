"""An objective as scalars: the items of one example over a box of inputs that can be reached."""
