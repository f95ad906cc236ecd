"""A version of a data set as a Delta table: made of the stored Parquet as it lies, read only once it is verified.

Decides the files of such a table: the data set's own Parquet, a log of one version that names it, and beside them what
the columns are. Arrow types are those of the stored file (plain and large strings, never views), because engines exist
that cannot read views. Leaves to `layout` what was signed of the bytes.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from holdfast.core.errors import InvalidData, NotVerified
from holdfast.engines.dataset import SCHEMA, TABLE
from holdfast.engines.layout import Layout, read_verified

LOG: Final = "_delta_log/00000000000000000000.json"
NOTES: Final = "_holdfast"  # readers of Delta pass over names with an underscore, and vacuum leaves them
SCHEMA_FILE: Final = f"{NOTES}/{SCHEMA}"
COMMIT_FILE: Final = f"{NOTES}/commit.dsse.json"
LAYOUT_FILE: Final = f"{NOTES}/layout.json"
UNSIGNED: Final = frozenset(
    {COMMIT_FILE, LAYOUT_FILE}
)  # what says of the table what was signed; held against the ledger
MAX_FILES: Final = 100_000  # of a folder that is looked at; a table of ours has three


def log_of(parquet: Path, scratch: Path) -> bytes:
    """Return the log of a Delta table that consists of one Parquet file.

    Args:
        parquet: The file.
        scratch: An empty folder for the table; it is removed.

    Raises:
        InvalidData: Delta has no type for one of its columns.
    """
    from deltalake import convert_to_deltalake
    from deltalake.exceptions import DeltaError

    try:
        scratch.mkdir(mode=0o700, parents=True)
        shutil.copyfile(parquet, scratch / TABLE)
        convert_to_deltalake(str(scratch))
        return (scratch / LOG).read_bytes()
    except DeltaError as error:
        raise InvalidData(f"these columns cannot be a Delta table: {str(error).splitlines()[0][:200]}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def files_in(folder: Path) -> tuple[str, ...]:
    """Return the paths of everything in a folder, those that say what was signed left out.

    Raises:
        NotVerified: It is no folder, holds a link, or more files than a table has.
    """
    if not folder.is_dir():
        raise NotVerified("there is no such folder", place=str(folder))
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise NotVerified("a table holds no links", place=str(path))
        if not path.is_dir():
            found.append(path.relative_to(folder).as_posix())
        if len(found) > MAX_FILES:
            raise NotVerified(f"more than {MAX_FILES} files", place=str(folder))
    return tuple(path for path in found if path not in UNSIGNED)


def read_table(folder: Path, layout: Layout) -> pl.DataFrame:
    """Return the rows of a Delta table in a folder, from the very bytes that were verified.

    Raises:
        NotVerified: Any file differs from what was signed, is missing, or was not signed; each is named.
    """
    contents = read_verified(layout, files_in(folder), lambda path: (folder / path).read_bytes())
    return rows_of(contents)


def rows_of(contents: Mapping[str, bytes]) -> pl.DataFrame:
    """Return the rows that the files of a Delta table hold: of each file that its log adds and never removes.

    Raises:
        NotVerified: The log is not one that we read: it names a file that is not there, or uses deletion vectors.
    """
    live: dict[str, None] = {}
    for path in sorted(path for path in contents if path.startswith("_delta_log/")):
        for action in _actions(path, contents[path]):
            if added := action.get("add"):
                if added.get("deletionVector"):
                    raise NotVerified("the table uses deletion vectors, which are not read here", place=path)
                live[added["path"]] = None
            elif removed := action.get("remove"):
                live.pop(removed["path"], None)
    missing = [path for path in live if path not in contents]
    if missing or not live:
        words = f"the table's log names {missing[0]!r}, which is not there" if missing else "the table's log is empty"
        raise NotVerified(words, place=LOG)
    return pl.concat([pl.read_parquet(contents[path]) for path in live])


def _actions(path: str, document: bytes) -> list[dict[str, Any]]:
    try:
        return [msgspec.json.decode(line, type=dict[str, Any]) for line in document.splitlines() if line.strip()]
    except msgspec.MsgspecError as error:
        raise NotVerified(f"the table's log cannot be read: {error}", place=path) from error
