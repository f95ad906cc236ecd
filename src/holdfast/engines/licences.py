"""Licences as bills of materials name them: SPDX expressions, and the words that packagers use instead.

An identifier counts wherever it stands in an expression, also as one of several to choose from: who chose which is not
in a bill. Words are read by a table of what Python's classifiers mean; words that leave the version open come to a
family, as `GPL`. What is neither is unknown, which a policy may forbid like any licence.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Final

MAX_TEXT: Final = 1000  # characters of an expression; a longer one is a licence's text
UNKNOWN: Final = "unknown"
_TOKEN: Final = re.compile(r"\s*([()]|[A-Za-z0-9.+:-]+)")
_OWN: Final = re.compile(r"(?:DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+")
_WORDS: Final = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache",
    "apache software license 2.0": "Apache-2.0",
    "bsd": "BSD",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd license": "BSD",
    "cc0 1.0 universal (cc0 1.0) public domain dedication": "CC0-1.0",
    "gnu affero general public license v3": "AGPL-3.0-only",
    "gnu affero general public license v3 or later (agplv3+)": "AGPL-3.0-or-later",
    "gnu general public license (gpl)": "GPL",
    "gnu general public license v2 (gplv2)": "GPL-2.0-only",
    "gnu general public license v2 or later (gplv2+)": "GPL-2.0-or-later",
    "gnu general public license v3 (gplv3)": "GPL-3.0-only",
    "gnu general public license v3 or later (gplv3+)": "GPL-3.0-or-later",
    "gnu lesser general public license v2 (lgplv2)": "LGPL-2.0-only",
    "gnu lesser general public license v2 or later (lgplv2+)": "LGPL-2.0-or-later",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only",
    "gnu lesser general public license v3 or later (lgplv3+)": "LGPL-3.0-or-later",
    "gnu library or lesser general public license (lgpl)": "LGPL",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mit no attribution license (mit-0)": "MIT-0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "new bsd license": "BSD-3-Clause",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "zope public license": "ZPL",
}
"""Words of classifiers (PyPI) and of common use, in small letters."""


@cache
def _known() -> tuple[dict[str, str], frozenset[str]]:
    """Return SPDX's identifiers by their small letters, and its exceptions in small letters."""
    text = files("holdfast.engines").joinpath("licences.txt").read_text(encoding="utf-8")
    licences, exceptions = (part.splitlines() for part in text.partition("\n")[2].split("#\n"))
    return {each.lower(): each for each in licences}, frozenset(each.lower() for each in exceptions)


def named(text: str) -> tuple[str, ...]:
    """Return the licences that a bill's text names, each once, in order; `unknown` where it is not understood whole.

    >>> named("MIT OR (gpl-3.0-only AND Apache-2.0)"), named("GNU General Public License (GPL)"), named("Theirs")
    (('Apache-2.0', 'GPL-3.0-only', 'MIT'), ('GPL',), ('unknown',))
    """
    whole = _expression(text) or _word(text)
    if whole:
        return tuple(sorted(whole))
    found: set[str] = set()
    for piece in text.split(" AND "):  # several classifiers come joined so
        found |= _word(piece) or _expression(piece) or {UNKNOWN}
    return tuple(sorted(found))


def _word(text: str) -> set[str]:
    meant = _WORDS.get(" ".join(text.lower().split()))
    return {meant} if meant else set()


def _expression(text: str) -> set[str]:
    """Return the licences of an SPDX expression (SPDX 3.0.1, annex "SPDX license expressions"); none if it is none."""
    if not text.strip() or len(text) > MAX_TEXT or _TOKEN.sub("", text).strip():
        return set()
    licences, exceptions = _known()
    found: set[str] = set()
    depth, wants = 0, "licence"
    for word in _TOKEN.findall(text):
        if wants == "licence" and word == "(":
            depth += 1
        elif wants == "licence":
            name = licences.get(word.lower()) or licences.get(word.lower().removesuffix("+"))
            if name is None and not _OWN.fullmatch(word):
                return set()
            found.add(name or UNKNOWN)  # a licence of one's own says nothing by its name
            wants = "operator"
        elif wants == "exception":
            if word.lower() not in exceptions and not word.startswith("AdditionRef-"):
                return set()
            wants = "operator"
        elif word == ")" and depth:
            depth -= 1
        elif word.upper() in {"AND", "OR", "WITH"}:
            wants = "exception" if word.upper() == "WITH" else "licence"
        else:
            return set()
    return found if wants == "operator" and depth == 0 else set()
