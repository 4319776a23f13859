"""Markdown, HTML and LaTeX. Nothing here knows what was measured."""
