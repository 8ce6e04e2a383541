"""How is a file written so that it is whole or absent, whoever dies meanwhile, and how is damage noticed?"""
