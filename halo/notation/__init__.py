"""An objective as mathematics: LaTeX, unicode and SVG."""
