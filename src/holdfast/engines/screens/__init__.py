"""Screens: which rows of a table were poisoned. Numbers in, suspicion out; no files, no tables, no verdict."""
