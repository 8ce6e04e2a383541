"""Where would the loss settle, under a sure preference and as a function of the preference probability?"""
