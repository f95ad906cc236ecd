"""OpenSSF Model Signing, for whoever signs or verifies: stages, the lifecycle, and those who have only the files.

`folder` reads what is there, `bundle` the signature's file, and `model_signing` says whether one is about the other.
"""
