"""A data format for halo: rows with a question, a good and a bad answer."""
