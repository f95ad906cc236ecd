"""The scan as a job: `python -m holdfast.engines.scan.worker IN OUT`, started inside the sandbox.

IN is a JSON list of the files to scan (`files.Entry`), OUT where the report goes. It ends with 0 whenever the report
was written, whatever was found; anything else, silence included, is a failed control to whoever started it.
"""

import sys
from pathlib import Path

import msgspec

from holdfast.engines.scan.files import Entry, scan_files


def main(arguments: list[str]) -> int:
    """Scan what IN lists and write the report to OUT."""
    listed, out = (Path(argument) for argument in arguments)
    entries = msgspec.json.decode(listed.read_bytes(), type=tuple[Entry, ...])
    out.write_bytes(msgspec.json.encode(scan_files(entries)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
