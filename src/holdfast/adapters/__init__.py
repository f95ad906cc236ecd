"""Sockets, databases, keys, clocks and child processes: one file per port, imported by `app` and `edge` only."""
