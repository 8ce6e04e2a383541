"""What does the loss not depend on: constants of the prompt, lengths, the order of a pair?"""
