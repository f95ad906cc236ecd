"""Names of members: where an archive would write, and names that readers take for different ones."""

from itertools import pairwise
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.report import shown

_DEVICES: Final = frozenset({"con", "prn", "aux", "nul"})


def plain(name: str) -> str:
    r"""Return a name as most systems would resolve it: one slash, no dots that lead nowhere.

    >>> plain("a//./b\\c")
    'a/b/c'
    """
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in {"", "."})


def leads_out(name: str, start: str = "") -> bool:
    r"""Return whether a path leaves the folder it is unpacked into, seen from the folder `start` inside.

    >>> leads_out("a/../../b"), leads_out("../blobs/x", "models/snap"), leads_out("C:\\x"), leads_out("/etc/passwd")
    (True, False, True, True)
    """
    path = name.replace("\\", "/")
    if path.startswith("/") or (len(path) > 1 and path[1] == ":" and path[0].isalpha()):
        return True
    depth = len(plain(start).split("/")) if plain(start) else 0
    for part in plain(path).split("/"):
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def wanders(name: str) -> bool:
    """Return whether a path goes down and up again, so that a link on its way decides where it ends.

    >>> wanders("a/../b"), wanders("../../b")
    (True, False)
    """
    parts = plain(name).split("/")
    return any(part == ".." and before != ".." for before, part in pairwise(parts))


def check_name(name: str, rules: str, content: Content, examination: Examination) -> None:
    """Report a member's name that leads out of the folder, or that systems read in different ways."""
    place = content.inside(name)
    if leads_out(name):
        words = f"{shown(name)!r} would be written outside the folder it is unpacked into"
        examination.add(Severity.CRITICAL, f"{rules}.name.outside", place, words)
    elif "\0" in name:
        words = f"{shown(name)!r} holds a zero byte: some readers end the name there"
        examination.add(Severity.HIGH, f"{rules}.name.ambiguous", place, words)
    elif not name or "\\" in name or ".." in plain(name).split("/") or not name.isprintable() or _is_device(name):
        words = f"{shown(name)!r} is read as different names by different systems"
        examination.add(Severity.MEDIUM, f"{rules}.name.ambiguous", place, words)


def _is_device(name: str) -> bool:
    return plain(name).rpartition("/")[2].partition(".")[0].casefold() in _DEVICES


def check_link(name: str, target: str, rules: str, content: Content, examination: Examination) -> None:
    """Report a symbolic link: critical where it leads out, low where it stays inside."""
    place, folder = content.inside(name), plain(name).rpartition("/")[0]
    words = f"a link to {shown(target)!r}"
    if leads_out(target, folder):
        examination.add(Severity.CRITICAL, f"{rules}.link.outside", place, f"{words}, outside the folder")
    elif wanders(target):
        examination.add(Severity.HIGH, f"{rules}.link.through", place, f"{words}, which other links can turn elsewhere")
    else:
        examination.add(Severity.LOW, f"{rules}.link", place, words)


class Seen:
    """The names of one archive so far: each may stand once, and none may lie behind a link."""

    def __init__(self, rules: str, content: Content, examination: Examination) -> None:
        """Start without names."""
        self.rules, self.content, self.examination = rules, content, examination
        self._names, self._links = set[str](), set[str]()

    def add(self, name: str, *, link: bool = False, folder: bool = False) -> None:
        """Report a name that stands twice, or that is written through a link; a folder may be named again."""
        key = plain(name)
        if key in self._names and not folder:
            words = f"{shown(name)!r} stands more than once, and readers differ in which one they take"
            self.examination.add(Severity.HIGH, f"{self.rules}.duplicate", self.content.inside(name), words)
        elif self._links and self.behind(key):
            words = f"{shown(name)!r} is written through a link of the same archive"
            self.examination.add(Severity.HIGH, f"{self.rules}.link.through", self.content.inside(name), words)
        if link:
            self._links.add(key)
        elif not folder or key in self._links:
            self._names.add(key)

    def behind(self, key: str) -> bool:
        """Return whether a folder on the way to a name, or the name itself, is a link."""
        cut = len(key)
        while cut > 0:
            if key[:cut] in self._links:
                return True
            cut = key.rfind("/", 0, cut)
        return False
