"""Faces: thin skins over the table of commands; they render and exit, and decide nothing."""
