"""Migrations of the database's schema, run when a database is opened; each is one file under `versions`."""
