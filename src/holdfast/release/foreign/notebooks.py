"""Notebooks as code: the cells of a Jupyter notebook (nbformat 4) as one module, without anybody rewriting it.

Pure. What IPython alone understands (lines that begin with `%` or `!`, cells that begin with `%%`) is kept as comments
in the module and told apart: commands of a shell and code in other languages are for a reviewer, `%pip install` says
what is needed. Where cells carry the tag `step`, those alone make the module; else all cells do.
"""

import ast
import json
import re
import warnings
from dataclasses import dataclass
from typing import Any, Final

TAG: Final = "step"
MAX_CELLS: Final = 10_000
_INSTALL: Final = re.compile(r"[%!]\s*(?:python3? -m )?pip3?\s+install\s+(.*)")
_SHELL: Final = frozenset({"bash", "sh", "script", "system", "sx", "cmd", "perl", "ruby", "!"})
_RUNS: Final = frozenset(
    {"run", "load", "loadpy", "load_ext", "reload_ext", "macro", "javascript", "js", "html", "cython"}
)
_HARMLESS: Final = frozenset(
    {"matplotlib", "config", "time", "timeit", "capture", "pip", "conda", "precision", "who", "whos", "env", "pwd"}
)


class NotNotebookError(Exception):
    """The document is no notebook of Python, with the reason in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Magic:
    """Something that IPython would do beside running Python: in which cell, what sort of thing, in its own words."""

    cell: int
    sort: str  # process, execution, or unread
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A notebook as one module."""

    text: str
    cells: tuple[int, ...]  # the number of the cell that each line is of, from 1; 0 for a line between them
    magics: tuple[Magic, ...]
    needs: tuple[str, ...]  # what its own cells install
    broken: tuple[int, ...]  # cells that are no Python, and are left out


def module_of(document: bytes) -> Module:
    """Return the code of a notebook.

    Raises:
        NotNotebookError: It is none, or not of Python.
    """
    lines, numbers, magics, needs, broken = list[str](), list[int](), list[Magic](), list[str](), list[int]()
    for number, source in _sources(document):
        kept = [_line(line, number, magics, needs) for line in _cell(source, number, magics)]
        if not _parses("\n".join(kept)):
            broken.append(number)
            continue
        lines += [f"# cell {number}", *kept, ""]
        numbers += [0, *[number] * len(kept), 0]
    return Module(
        text="\n".join(lines),
        cells=tuple(numbers),
        magics=tuple(magics),
        needs=tuple(needs),
        broken=tuple(broken),
    )


def _sources(document: bytes) -> list[tuple[int, str]]:
    try:
        found = json.loads(document)
        about, cells = found.get("metadata", {}), found["cells"]
        language = about.get("language_info", {}).get("name") or about.get("kernelspec", {}).get("language", "python")
        code = [(number, cell) for number, cell in enumerate(cells, 1) if cell["cell_type"] == "code"]
        tagged = [each for each in code if TAG in each[1].get("metadata", {}).get("tags", ())]
        sources = [(number, _joined(cell["source"])) for number, cell in tagged or code]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotNotebookError("no notebook of nbformat 4") from error
    if language not in {"python", "python3", "ipython"}:
        raise NotNotebookError(f"a notebook of {str(language)[:40]}")
    if len(cells) > MAX_CELLS:
        raise NotNotebookError(f"{len(cells)} cells")
    return sources


def _joined(source: Any) -> str:
    return source if isinstance(source, str) else "".join(source)


def _cell(source: str, number: int, magics: list[Magic]) -> list[str]:
    """Return the lines of a cell; one in another language is kept as comments."""
    lines = source.splitlines()
    first = next((line for line in lines if line.strip()), "")
    name = first.strip().removeprefix("%%").split(" ")[0]
    if not first.startswith("%%"):
        return lines
    if name in _HARMLESS:  # it times or captures Python
        return ["# " + line if line is first else line for line in lines]
    sort = "process" if name in _SHELL else "execution" if name in _RUNS else "unread"
    magics.append(Magic(cell=number, sort=sort, words=first.strip()[:200]))
    return ["# " + line for line in lines]


def _line(line: str, number: int, magics: list[Magic], needs: list[str]) -> str:
    bare = line.lstrip()
    if not bare.startswith(("%", "!")):
        return line
    installed = _INSTALL.fullmatch(bare)
    if installed:
        needs += [each for each in installed[1].split() if not each.startswith("-")]
    else:
        name = "!" if bare[0] == "!" else bare[1:].split(" ")[0]
        sort = "process" if name in _SHELL else "execution" if name in _RUNS else "unread"
        if name not in _HARMLESS:
            magics.append(Magic(cell=number, sort=sort, words=bare[:200]))
    indent = line[: len(line) - len(bare)]
    return f"{indent}pass  # {bare}" if indent else f"# {bare}"


def _parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
