"""What samplers and scorers are asked and what they give: the descriptions that plugins supply. No torch."""
