"""Findings for readers: text, Markdown, LaTeX, pages and the gallery."""
