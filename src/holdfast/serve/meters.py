"""The meters of a gateway process: one for each release that it serves, or that has something left to tell."""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from holdfast.core.telemetry import Window
from holdfast.serve.columns import Column
from holdfast.serve.state import Release
from holdfast.serve.telemetry import Meter


class Meters:
    """Meters by digest of the release."""

    def __init__(self, column: Column) -> None:
        """Have none; what they count for scrapes stands in this column of the worker's."""
        self._column: Final = column
        self._all: dict[str, Meter] = {}

    def __getitem__(self, digest: str) -> Meter:
        """Return the meter of a release.

        Raises:
            KeyError: It was never served here, or was told to the end.
        """
        return self._all[digest]

    def __contains__(self, digest: object) -> bool:
        """Say whether a release has a meter."""
        return digest in self._all

    def serve(self, releases: Iterable[Release]) -> None:
        """Begin to count for releases that are new here."""
        for release in releases:
            if release.digest not in self._all:
                names = tuple(field.name for field in release.signature.inputs)
                self._all[release.digest] = Meter(
                    profile=release.profile, names=names, release=release.short, column=self._column
                )

    def keep_only(self) -> None:
        """Let the column forget releases that have no meter here."""
        self._column.keep_only({meter.release for meter in list(self._all.values())})

    def settle(self) -> None:
        """Put rows that wait into their cells, where many wait: called often, while callers are answered."""
        for meter in list(self._all.values()):
            if meter.full:
                meter.settle()

    def untold(self, served: Collection[str] | None) -> list[tuple[str, Window, Callable[[], None]]]:
        """Return each release's window since the last that was told, and what to call once it is written.

        Args:
            served: What is served now: others that have nothing to tell any more lose their meter. None: nobody knows.
        """
        windows = []
        for digest, meter in list(self._all.items()):
            window, reading = meter.untold()
            if window.requests or window.refused or window.shadow:
                windows.append((digest, window, _teller(meter, reading)))
            elif served is not None and digest not in served:
                self._all.pop(digest).close()
        return windows


def _teller(meter: Meter, reading: Window) -> Callable[[], None]:
    return lambda: meter.tell(reading)
