"""How are numbers shown?  Tables as text, Markdown and LaTeX, intervals and curves as figures, and one page with all of it."""
