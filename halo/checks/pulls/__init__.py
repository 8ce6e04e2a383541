"""Which way does the loss pull each completion: everywhere, at the reference, and by what is detached?"""
