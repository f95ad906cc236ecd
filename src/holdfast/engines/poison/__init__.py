"""Poison: the ways in which training rows are spoiled on purpose, to measure what they do and whether they are found.

Rows in, rows out; everything that an attacker may choose (which rows, which pattern, where, how bright) comes from the
generator, so that no defence can be fitted to one attack.
"""
