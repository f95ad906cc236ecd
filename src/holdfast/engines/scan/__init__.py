"""Scanners of model files: structure only, bounded, without building or executing anything that a file describes."""
