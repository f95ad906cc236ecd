"""Known vulnerabilities: records of OSV, versions as each ecosystem orders them, severities, and what matches what.

Pure: bytes and values in, values out. Nothing is fetched; what is known is what a snapshot holds, and how old that is.
"""
