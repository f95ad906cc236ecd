"""Container images as files: what they hold after their layers are laid over one another, and what every layer holds.

Nothing is run, extracted to disk or fetched. Every byte that is believed has the digest that the image names for it.
"""
