"""Links: where a feature's values come from, and by which code."""

import msgspec


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One feature's origin: its code's version, the columns it reads, and the digest of the rows they stand in."""

    feature: str
    transform: str  # the code, or the name of a built-in transform
    version: str  # digest of what defines it: of its view, or of name, columns and transform
    of: tuple[str, ...]
    source: str  # digest of the data set, or of a view's source
