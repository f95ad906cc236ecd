"""How the members of a zip archive lie in it: none over another, nothing before, between or behind them."""

from bisect import bisect_right
from dataclasses import dataclass

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers import zip_records as records
from holdfast.engines.scan.containers.zip_members import Members
from holdfast.engines.scan.containers.zip_records import End
from holdfast.engines.scan.examination import Content, Examination


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which bytes of an archive belong to members, and which to nothing."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    gaps: tuple[tuple[int, int], ...]

    def holds(self, at: int) -> bool:
        """Return whether an offset lies inside a member."""
        index = bisect_right(self.starts, at) - 1
        return index >= 0 and at < self.stops[index]


def check_layout(
    members: Members, directory: tuple[int, int], end: End, content: Content, examination: Examination
) -> Layout:
    """Report members that overlap, and bytes before the end records that belong to nothing.

    Args:
        members: The members that were read, with the bytes of each.
        directory: Where the entries that were read begin and end.
        end: The end record.
        content: The archive.
        examination: Where to report.
    """
    gaps, reached = list[tuple[int, int]](), 0
    for first, last in sorted([*members.spans, directory] if directory[0] < directory[1] else members.spans):
        if first < reached:
            words = "a member inside the bytes of another, or of the directory"
            examination.add(Severity.HIGH, "zip.overlap", content.at(first), words)
        elif first > reached:
            gaps.append((reached, first))
        reached = max(reached, last)
    if reached < end.records:
        gaps.append((reached, end.records))
    for gap in gaps:
        _report(gap, content, examination)
    if end.records < end.at and bytes(content.view[end.at - 20 : end.at - 16]) != records.LOCATOR:
        examination.add(Severity.HIGH, "zip.directory", content.at(end.records), "records that no reader expects")
    starts, stops = list[int](), list[int]()
    for first, last in sorted(members.spans):
        starts.append(first)
        stops.append(max(last, stops[-1] if stops else 0))
    return Layout(starts=tuple(starts), stops=tuple(stops), gaps=tuple(gaps))


def _report(gap: tuple[int, int], content: Content, examination: Examination) -> None:
    first, last = gap
    if first == 0:
        words = f"{last} bytes before the first member: readers of other formats may take them"
        examination.add(Severity.HIGH, "zip.prefix", content.at(0), words)
    else:
        words = f"{last - first} bytes that belong to no member"
        examination.add(Severity.MEDIUM, "zip.gap", content.at(first), words)
