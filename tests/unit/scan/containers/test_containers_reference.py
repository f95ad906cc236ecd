"""The reference lists every rule of the containers, and none that does not exist."""

import re
from pathlib import Path

import holdfast.engines.scan.containers
from holdfast.engines.scan.containers import lz4
from holdfast.engines.scan.containers.streams import CODECS

SOURCES = Path(holdfast.engines.scan.containers.__file__).parent
REFERENCE = Path(__file__).parents[4] / "docs" / "reference" / "scan-containers.md"
NAMES = "zip|torch|npy|tar|sevenzip|joblib|gzip|bzip2|xz|lzma|zlib|lz4|zstd|limit"
ANY_STREAM = {"trailing", "streams", "malformed"}


def reported() -> set[str]:
    """Return the rules in the sources, those made from the name of an archive or a stream included."""
    found = set[str]()
    for file in SOURCES.glob("*.py"):
        found |= set(re.findall(rf'"((?:{NAMES})\.[a-z.-]+)"', file.read_text(encoding="utf-8")))
    shared = re.findall(r'f"\{(?:self\.)?rules\}\.([a-z.]+)"', (SOURCES / "names.py").read_text(encoding="utf-8"))
    noticed = re.findall(
        r'Noticed\(Severity\.\w+, "([a-z.]+)"', (SOURCES / "gzip_header.py").read_text(encoding="utf-8")
    )
    for archive, module in (("tar", "tars.py"), ("sevenzip", "sevenzips.py")):
        source = (SOURCES / module).read_text(encoding="utf-8")
        said = re.findall(r'(?:\.add\(Severity\.\w+, |_Unreadable\()"([a-z]+)"', source)
        found |= {f"{archive}.{rule}" for rule in said}
    for archive in {rule.split(".")[0] for rule in found} & {"zip", "tar", "sevenzip"}:
        found |= {f"{archive}.{rule}" for rule in shared}
    found |= {f"gzip.{rule}" for rule in [*noticed, "checksum"]}
    found |= {f"{codec.name}.{rule}" for codec in CODECS for rule in ANY_STREAM if rule != "streams" or codec.several}
    return found - {lz4.PACKAGE} | {"lz4.skippable", "zstd.skippable", "zstd.unsupported"}


def test_every_rule_is_in_the_reference_and_none_that_does_not_exist() -> None:
    """A finding whose rule nobody can look up helps nobody."""
    rows = [line for line in REFERENCE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = {rule for row in rows for rule in re.findall(rf"`((?:{NAMES})\.[a-z.-]+)`", row.split("|")[1])}
    assert reported() == listed
