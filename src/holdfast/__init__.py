"""Holdfast: nothing answers in production unless signed evidence leads from the rows it learned from to its bytes."""

__version__ = "0.1.0"
