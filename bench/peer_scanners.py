"""Other scanners over a list of files: `peer_scanners.py TOOL LIST`, in the environment of the peers.

Prints one JSON document: for each file whether the tool flags it (`1`), passes it (`0`) or fails on it (`-1`), the
processor time of the whole list, and the largest memory.
"""

import contextlib
import io
import json
import logging
import sys
import time
from collections.abc import Callable
from importlib import import_module


def picklescan() -> Callable[[str], int]:
    """Whether picklescan counts an issue."""
    scan_file_path = import_module("picklescan.scanner").scan_file_path

    def flags(path: str) -> int:
        result = scan_file_path(path)
        return -1 if result.scan_err and not result.issues_count else int(result.issues_count > 0)

    return flags


def modelscan() -> Callable[[str], int]:
    """Whether modelscan counts an issue."""
    scanner = import_module("modelscan.modelscan").ModelScan()

    def flags(path: str) -> int:
        found = scanner.scan(path)
        if found["summary"]["total_issues"]:
            return 1
        return -1 if found["errors"] or not found["summary"]["scanned"]["total_scanned"] else 0

    return flags


def fickling() -> Callable[[str], int]:
    """Whether fickling thinks a file is not likely safe."""
    analysis, fickle = import_module("fickling.analysis"), import_module("fickling.fickle")

    def flags(path: str) -> int:
        with open(path, "rb") as file:  # noqa: PTH123 - nothing of ours is here
            stacked = fickle.StackedPickle.load(file, fail_on_decode_error=False)
        return int(any(analysis.check_safety(each).severity > analysis.Severity.LIKELY_SAFE for each in stacked))

    return flags


TOOLS = {"picklescan": picklescan, "modelscan": modelscan, "fickling": fickling}


def main() -> None:
    """Scan and report."""
    logging.disable(logging.CRITICAL)
    tool, listed = sys.argv[1:]
    with open(listed, encoding="utf-8") as file:  # noqa: PTH123
        paths = file.read().splitlines()
    silent = io.StringIO()
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        flags = TOOLS[tool]()
        begun, verdicts = time.process_time(), []
        for path in paths:
            try:
                verdicts.append(flags(path))
            except BaseException:  # noqa: BLE001 - a scanner that falls over has said nothing
                verdicts.append(-1)
        cpu = time.process_time() - begun
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 - ru_maxrss would begin with the parent's
        memory = next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    print(json.dumps({"verdicts": verdicts, "cpu_s": cpu, "memory_mib": memory}))


if __name__ == "__main__":
    main()
