"""Secrets in text: which stretch of bytes is a key, a token or a password, and which only looks like one.

Decides by format, checksum and context, never by asking a service; leaves to callers what a find means. Everything here
takes bytes and gives values: the secret itself is shown to nobody, and leaves only as a mask and a salted hash.
"""
