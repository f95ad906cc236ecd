"""Names that scanners allow, kept as data beside them: `names/NAME.txt`, in sections of words.

`scripts/scan_names.py` writes those that libraries define; the others are written by hand.
"""

from functools import cache
from pathlib import Path
from typing import Final

NAMES: Final = Path(__file__).with_name("names")


@cache
def words(file: str, section: str) -> frozenset[str]:
    """Return the words of one section of a file of names; a section that is not there is an error of ours."""
    sections = dict[str, list[str]]()
    current = list[str]()
    for line in (NAMES / f"{file}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            current = sections.setdefault(line[1:-1], [])
        elif not line.startswith("#"):
            current += line.split()
    return frozenset(sections[section])
