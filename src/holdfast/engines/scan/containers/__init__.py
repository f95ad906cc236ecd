"""Archives and compressed streams: known by their bytes, read as every reader would, each byte accounted for."""

from typing import Final

from holdfast.engines.scan.containers import npy, sevenzips, streams, tars, torch_legacy, zips
from holdfast.engines.scan.examination import Format

FORMATS: Final[tuple[Format, ...]] = (
    Format(name="zip", known=zips.known, scan=zips.scan),
    Format(name="tar", known=tars.known, scan=tars.scan),
    Format(name="7z", known=sevenzips.known, scan=sevenzips.scan),
    Format(name="torch", known=torch_legacy.known, scan=torch_legacy.scan),
    Format(name="npy", known=npy.known, scan=npy.scan),
    *(Format(name=each.name, known=each.known, scan=each.scan) for each in streams.CODECS),
)
"""Every container."""
