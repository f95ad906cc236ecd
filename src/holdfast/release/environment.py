"""What was installed where the model was made: the libraries of the bill of materials, from installed metadata alone.

An installer keeps no hash of the archive it installed (unless it came from a URL), but it keeps the hash of every file.
So a library is named by version, and pinned by one digest over its files' recorded hashes.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageMetadata, distributions
from typing import Final

from holdfast.core.artifact import Digest, digest_bytes

MAX_LICENCE: Final = 100  # characters of a licence's name


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Library:
    """One installed distribution."""

    name: str  # normalised, PyPA "Names and normalization"
    version: str
    files: Digest | None = None  # over the sorted `path,hash` of its own files as RECORD lists them
    licence: str = ""  # an SPDX expression
    licence_named: str = ""  # where there is no expression: the licence in the packager's words


def normal(name: str) -> str:
    """Return a distribution's name as package URLs and indexes spell it.

    >>> normal("Scikit_Learn")
    'scikit-learn'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(found: Iterable[Distribution] | None = None) -> tuple[Library, ...]:
    """Return the libraries of this environment, which is also the sandbox's, by name.

    Args:
        found: Distributions to list instead of this environment's.
    """
    libraries: dict[str, Library] = {}
    for distribution in distributions() if found is None else found:
        metadata = distribution.metadata  # is parsed anew at each look
        name = normal(metadata["Name"] or "")
        if name and name not in libraries:  # the first on the path is the one that imports find
            libraries[name] = Library(
                name=name,
                version=metadata["Version"],
                files=_files(distribution),
                licence=" ".join(metadata.get_all("License-Expression") or ()),
                licence_named=_named_licence(metadata),
            )
    return tuple(sorted(libraries.values(), key=lambda library: library.name))


def _named_licence(metadata: PackageMetadata) -> str:
    """Return what a package without a licence expression says of its licence: its classifiers, else a short field."""
    if metadata.get_all("License-Expression"):
        return ""
    classified = [
        each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier") or () if each.startswith("License :: ")
    ]
    field = " ".join(metadata.get_all("License") or ())
    plain = field if len(field) <= MAX_LICENCE and field.isprintable() else ""  # some put the whole text there
    return " AND ".join(sorted(classified)) or plain


def _files(distribution: Distribution) -> Digest | None:
    """Return one digest over what was installed, equal wherever the same archive is installed.

    Left out: scripts outside the package folder (they name the interpreter's path) and what installers add.
    """
    record = csv.reader((distribution.read_text("RECORD") or "").splitlines())
    lines = [f"{row[0]},{row[1]}" for row in record if len(row) > 1 and row[1] and _archived(row[0])]
    return digest_bytes("\n".join(sorted(lines)).encode()) if lines else None


def _archived(path: str) -> bool:
    """Return whether a file of RECORD came out of the archive, as all whose place no installer chooses."""
    *folders, name = path.split("/")
    added = name in {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"} or name.endswith((".pyc", ".pth"))
    return not added and ".." not in folders
