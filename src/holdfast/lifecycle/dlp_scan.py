"""The scan for personal data as a command: files of anybody's in; a table, JSON or SARIF and an exit code out.

It needs no workspace, writes nothing but the file that was asked for, and shows no value: only which column or line
holds what. Something found ends with exit code 1, so that a build stops; kinds that are allowed are listed and pass.
"""

import codecs
import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import polars as pl

from holdfast import __version__
from holdfast.core.errors import InvalidInput, UsageError, without_values
from holdfast.core.evidence import Severity
from holdfast.core.ports import Recogniser
from holdfast.engines.dlp import searched_with
from holdfast.engines.personal import SHOWN, Entity, scan
from holdfast.engines.personal.national import NATIONALS
from holdfast.engines.personal.recognised import found_with
from holdfast.engines.sarif import Result, sarif
from holdfast.lifecycle.reply import Progress, Reply, Table, counted, silent

FORMATS: Final = ("table", "json", "sarif")
MAX_FILE: Final = 1 << 30  # bytes; the whole table is held in memory
MAX_PIECE: Final = 65_536  # characters of a line that are looked at together; a longer one is looked at in pieces
OVERLAP: Final = 512  # characters that two pieces share, so that no value is cut in two
TOGETHER: Final = 1000  # such pieces that are held in memory
ROWS: Final = 200  # of the table; the document has all
TABLES: Final = {".csv": ",", ".tsv": "\t", ".parquet": "", ".jsonl": "", ".ndjson": ""}
SNIFFED: Final = 65_536  # bytes from which encoding and delimiter are found out
PLAIN: Final = "utf-8"
KINDS: Final = frozenset({*map(str, Entity), *(kind.name for kind in NATIONALS), "national-id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One kind in one place of one file: a column, or a line of text."""

    path: str
    column: str
    line: int
    entity: str
    values: int
    rows: int
    rests_on: str
    allowed: bool


def dlp_scan(
    *,
    paths: Sequence[Path],
    format: str = "table",  # noqa: A002 - the option's name
    output: Path | None = None,
    allow: str = "",
    recogniser: Recogniser | None = None,
    tell: Callable[[Progress], None] = silent,
) -> Reply:
    """Look for personal data and secrets in files: columns of tables, lines of text.

    Args:
        paths: Files: CSV, TSV, Parquet, JSON Lines; anything else is read as text.
        format: What to print: table, json or sarif.
        output: Where to write the document instead.
        allow: Kinds, with commas between, that are listed but let pass; web addresses always do.
        recogniser: What looks through texts for names and what else no pattern knows; None for nothing.
        tell: Is told of each file.

    Raises:
        UsageError: No such file, format or kind.
        InvalidInput: A file is not what its name says.
    """
    if format not in FORMATS:
        raise UsageError(f"there is no format {format[:40]!r}", expected=" or ".join(FORMATS))
    allowed = {each.strip() for each in allow.split(",") if each.strip()}
    kinds = KINDS.union(recogniser.kinds if recogniser is not None else ())
    if allowed - kinds:
        raise UsageError(f"there is no kind {min(allowed - kinds)[:60]!r}", expected=", ".join(map(str, Entity)))
    found = list[Found]()
    for path in paths:
        if not path.is_file():
            words = "this is a folder" if path.is_dir() else "there is no such file"
            raise UsageError(words, place=str(path), expected="files, by name: dlp scan exports/*.csv")
        tell(Progress(stage="dlp", state="started", words=str(path)))
        found += _file(path, allowed, recogniser)
    reply = _reply(found, len(paths), searched_with(recogniser))
    document = {} if format == "table" else _document(format, found, reply, kinds)
    text = "" if format == "table" else json.dumps(document, ensure_ascii=False, indent=1)
    if output is not None:
        try:
            output.write_text((text or json.dumps(reply.document, ensure_ascii=False, indent=1)) + "\n", "utf-8")
        except OSError as error:
            raise InvalidInput(f"the file cannot be written: {error.strerror}", place=str(output)) from error
        text = ""
    return Reply(says=reply.says, document=reply.document, tables=reply.tables, exit_code=reply.exit_code, text=text)


def _file(path: Path, allowed: set[str], recogniser: Recogniser | None) -> Iterator[Found]:
    if path.stat().st_size > MAX_FILE:
        raise InvalidInput(f"{path.stat().st_size} bytes", place=str(path), expected=f"at most {MAX_FILE}")
    suffix = path.suffix.lower()
    encoding = "" if suffix == ".parquet" else _encoding(path)
    table = _table(path) if suffix == ".parquet" or (suffix in TABLES and encoding == PLAIN) else None
    if table is None:
        yield from _text(path, allowed, encoding, recogniser)
        return
    yield from _names(path, table.columns, allowed, recogniser)
    for hit in scan(table, recogniser):
        passes = _passes(hit.entity, allowed)
        yield Found(path=str(path), column=hit.column, line=0, entity=hit.entity, values=hit.values, rows=hit.rows,
                    rests_on=hit.rests_on, allowed=passes)  # fmt: skip


def _passes(entity: str, allowed: set[str]) -> bool:
    return entity in SHOWN or entity in allowed or ("national-id" in allowed and entity.startswith("national-id-"))


def _encoding(path: Path) -> str:
    """Return how a file of text is written: what would be read as other letters would be looked through in vain.

    Raises:
        InvalidInput: It is no text.
    """
    with path.open("rb") as file:
        start = file.read(SNIFFED)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in start:
        expected = "UTF-8, UTF-16 with a byte order mark, or a Parquet file of that name"
        raise InvalidInput("the file cannot be read: it is no text", place=str(path), expected=expected)
    return PLAIN


def _names(path: Path, names: Sequence[str], allowed: set[str], recogniser: Recogniser | None) -> Iterator[Found]:
    """Look at what stands where names of columns do: without a header that is the first row."""
    for entity, count in Counter(span.entity for each in found_with(names, recogniser) for span in each).items():
        yield Found(path=str(path), column="", line=1, entity=entity, values=count, rows=1, rests_on="values",
                    allowed=_passes(entity, allowed))  # fmt: skip


def _table(path: Path) -> pl.DataFrame | None:
    """Return a file's table, every value of a text file as text; None where rows have more fields than the header.

    Raises:
        InvalidInput: It is not what its name says.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return pl.read_parquet(path)
        if suffix in {".jsonl", ".ndjson"}:
            return _flat(pl.read_ndjson(path, infer_schema_length=None, ignore_errors=False))
        options: dict[str, Any] = {"infer_schema": False, "encoding": "utf8-lossy"}
        return pl.read_csv(path, separator=_separator(path, TABLES[suffix]), **options)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        if "more fields than defined" in str(error):
            return None
        words = f"the file cannot be read: {without_values(error)}"
        raise InvalidInput(words, place=str(path), expected=f"{suffix} as named") from error


def _separator(path: Path, usual: str) -> str:
    with path.open("rb") as file:
        start = file.read(SNIFFED).decode("utf-8", "replace")
    try:
        return csv.Sniffer().sniff(start.partition("\n")[0], ",;\t|").delimiter
    except csv.Error:
        return usual


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a table without nesting: what lies inside a value is looked at as its JSON text."""
    columns = []
    for column in frame.get_columns():
        nested = column.dtype.is_nested()
        texts = [_json(each) for each in column.to_list()] if nested else ()
        columns.append(pl.Series(column.name, texts, dtype=pl.String) if nested else column)
    return pl.DataFrame(columns)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _pieces(line: str) -> Iterator[str]:
    for begin in range(0, len(line), MAX_PIECE):
        yield line[begin : begin + MAX_PIECE + OVERLAP]


def _text(path: Path, allowed: set[str], encoding: str, recogniser: Recogniser | None) -> Iterator[Found]:
    with path.open(encoding=encoding, errors="replace") as lines:
        for number, seen in _lines(lines, recogniser):
            for entity, count in Counter(seen).items():
                yield Found(path=str(path), column="", line=number, entity=entity, values=count, rows=1,
                            rests_on="values", allowed=_passes(entity, allowed))  # fmt: skip


def _lines(lines: Iterable[str], recogniser: Recogniser | None) -> Iterator[tuple[int, list[str]]]:
    """Yield the kinds in each line with its number; some lines are looked at together."""
    pieces = ((number, piece) for number, line in enumerate(lines, 1) for piece in _pieces(line))
    kinds = dict[int, list[str]]()
    while some := list(islice(pieces, TOGETHER)):
        searched = found_with([piece for _, piece in some], recogniser)
        for (number, _), places in zip(some, searched, strict=True):
            kinds.setdefault(number, []).extend(place.entity for place in places if place.start < MAX_PIECE)
        last = some[-1][0]  # of which more may follow
        yield from ((number, seen) for number, seen in kinds.items() if number != last)
        kinds = {last: kinds[last]}
    yield from kinds.items()


def _reply(found: list[Found], files: int, with_: dict[str, str]) -> Reply:
    against = [each for each in found if not each.allowed]
    rows = [
        (each.path, each.column or f"line {each.line}", each.entity, str(each.values), str(each.rows), each.rests_on,
         "allowed" if each.allowed else "")
        for each in sorted(found, key=lambda each: each.allowed)[:ROWS]
    ]  # fmt: skip
    kinds = Counter[str]()
    for each in against:
        kinds[each.entity] += each.values
    words = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) or "nothing personal"
    more = f"; {len(found) - ROWS} more places in --format json" if len(found) > ROWS else ""
    columns = ("file", "where", "kind", "values", "rows", "rests on", "")
    return Reply(
        says=f"{counted(files, 'file')}: {words}{more}.",
        document={"clean": not against, "files": files, "found": [_plain(each) for each in found]} | with_,
        tables=(Table(title="Personal data", columns=columns, rows=rows),) if rows else (),
        exit_code=1 if against else 0,
    )


def _plain(each: Found) -> dict[str, Any]:
    return {name: getattr(each, name) for name in Found.__slots__}


def _document(format: str, found: list[Found], reply: Reply, kinds: frozenset[str]) -> Any:  # noqa: A002
    if format == "json":
        return dict(reply.document)
    results = (
        Result(
            rule=f"personal.{each.entity}",
            severity=Severity.INFO if each.allowed else Severity.HIGH,
            message=f"{each.entity} in {counted(each.values, 'value')}",
            path=each.path,
            line=each.line,
            inside=each.column,
        )
        for each in found
    )
    rules = {f"personal.{kind}": f"holds values of the kind {kind}" for kind in kinds}
    return sarif(results, version=__version__, rules=rules)
