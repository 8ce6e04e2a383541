"""Is the loss well-formed: has it a value, do its units fit, does everything declared reach it, does it fit in floats?"""
