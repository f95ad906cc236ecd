"""What several stages share: bytes or frames in, results out, no sockets. Each module says who uses it."""
