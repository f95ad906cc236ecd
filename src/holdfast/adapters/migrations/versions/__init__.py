"""The migrations in order, each naming the one before it."""
