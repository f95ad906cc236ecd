"""Pickles are judged by what loading would do: attacks of every class are seen, and honest models pass."""

import io
import pickle
import random
import re
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.engines.scan import streams

from holdfast.core.evidence import Finding
from holdfast.engines.scan.examination import Content, Limits
from holdfast.engines.scan.formats import examine
from holdfast.engines.scan.pickles.allowed import MADE, shipped
from holdfast.engines.scan.pickles.names import dangerous
from holdfast.engines.scan.report import Findings
from holdfast.engines.scan.verdict import Verdict, parse_scan_policy
from holdfast.lifecycle.policies import scan_policy_file

SEED: Final = 20261127
POLICY: Final = parse_scan_policy(scan_policy_file().read_bytes())


def scanned(data: bytes, name: str = "model.pkl", limits: Limits | None = None) -> tuple[Finding, ...]:
    """What is found in a file of this name."""
    findings = Findings()
    examine(Content(memoryview(data), name), findings, limits)
    return tuple(findings.kept)


def verdict(data: bytes, name: str = "model.pkl") -> Verdict:
    """What the shipped policy thinks of a file."""
    return POLICY.on(scanned(data, name))


@pytest.mark.guarantee("G72")
@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.reading:read_pickle")
@pytest.mark.parametrize("sort", streams.ATTACKS)
def test_every_class_of_bypass_is_seen(sort: str) -> None:
    """Forty streams of each class, by seed: none is clean, and what surely attacks is called malicious."""
    make, surely = streams.ATTACKS[sort]
    rng = random.Random(f"{SEED} {sort}")  # noqa: S311 - a seed for tests
    for _ in range(40):
        data = make(rng)
        found = verdict(data)
        assert found is not Verdict.CLEAN, data
        if surely:
            assert found is Verdict.MALICIOUS, (data, scanned(data))


@pytest.mark.parametrize("name", ["weights.bin", "notes.txt", "config.json", "no-extension"])
def test_a_name_hides_nothing(name: str) -> None:
    """A pickle of the oldest protocol has no header; it is found whatever the file is called."""
    assert verdict(b"cposix\nsystem\n(S'true'\ntR.", name) is Verdict.MALICIOUS
    assert verdict(b"cposix\nsystem\n(S'true'\ntR", name) is Verdict.MALICIOUS


def test_reasons_name_callable_offset_and_path() -> None:
    """A reader learns what would be called, at which byte, inside of what."""
    inner = b"\x80\x04cposix\nsystem\nU\x04true\x85R."
    outer = b"\x80\x04B" + len(inner).to_bytes(4, "little") + inner + b"."
    found = [each for each in scanned(outer) if each.rule == "pickle.dangerous-call"]
    assert found[0].place == "model.pkl byte 7!/constant byte 23"
    assert "posix.system" in found[0].message


def test_an_array_of_joblib_that_others_read_as_opcodes_is_seen() -> None:
    """Between opcodes joblib reads raw bytes, and `pickle.load` reads opcodes: the bytes may be chosen for both."""
    file = io.BytesIO()
    joblib.dump(np.zeros(64, dtype=np.uint8), file)
    honest = file.getvalue()
    assert verdict(honest, "a.joblib") is Verdict.CLEAN
    at = len(honest) - 1 - 64 - 1  # before STOP: the array; before it, its padding
    while honest[at] == 0xFF:
        at -= 1
    payload = b"0cposix\nsystem\nU\x04true\x85R."
    forged = honest[:at] + payload + honest[at + len(payload) :]
    assert "pickle.two-readings" in {each.rule for each in scanned(forged, "a.joblib")}
    assert verdict(forged, "a.joblib") is Verdict.MALICIOUS


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_clean_in_every_protocol(protocol: int) -> None:
    """Numbers, strings and what contains them import nothing."""
    values: list[Any] = [
        [1.5, 2, 2**70, -3, True, None, "ü", b"raw", (1, 2, 3, 4), {"a": [1]}, frozenset({1}), {2}],
        list(range(5000)),
        [f"token {number}" for number in range(5000)],
        {f"key {number}": number / 7 for number in range(5000)},
        [(number, str(number), 0.5) for number in range(500)],
        ["a" * 300, b"b" * 70000, bytearray(b"c"), 10**300],
    ]
    for value in values:
        assert scanned(pickle.dumps(value, protocol)) == ()


@pytest.mark.parametrize("batch", range(4))
def test_honest_models_of_scikit_learn_are_clean(batch: int) -> None:
    """Estimators with other settings and rows than the allow-list was made from; every protocol and compressor."""
    not_clean = []
    for index, model in enumerate(_models(batch)):
        for protocol in (2, 4, 5):
            data = pickle.dumps(model, protocol)
            if verdict(data) is not Verdict.CLEAN:
                not_clean.append((type(model).__name__, scanned(data)[:2]))
        file = io.BytesIO()
        joblib.dump(model, file, compress=0 if index % 2 else ("zlib", 3))
        if verdict(file.getvalue(), "model.joblib") is not Verdict.CLEAN:
            not_clean.append((type(model).__name__, scanned(file.getvalue())[:2]))
    assert not_clean == []


def _models(batch: int) -> list[Any]:
    from sklearn import ensemble, linear_model, neighbors, pipeline, preprocessing, svm, tree

    rng = np.random.default_rng(SEED + batch)
    x, y = rng.normal(size=(150, 5)), rng.integers(0, 2, 150)
    made: list[list[Any]] = [
        [ensemble.RandomForestClassifier(7, max_features=2), ensemble.HistGradientBoostingClassifier(max_iter=5)],
        [pipeline.make_pipeline(preprocessing.RobustScaler(), svm.SVC(C=3)), tree.ExtraTreeRegressor(max_depth=4)],
        [neighbors.KNeighborsRegressor(3), linear_model.ElasticNet(alpha=0.3), linear_model.HuberRegressor()],
        [ensemble.AdaBoostClassifier(n_estimators=4), ensemble.GradientBoostingRegressor(n_estimators=4)],
    ]
    return [model.fit(x, y) for model in made[batch]]


def test_the_memo_is_empty_for_each_pickle_of_a_file() -> None:
    """A second pickle that asks for what the first remembered would stop: nothing passes by another's memo."""
    rules = [each.rule for each in scanned(b"\x80\x04K\x01\x94.\x80\x04h\x00.")]
    assert rules == ["pickle.malformed"]


def test_the_memo_counts_its_entries_as_cpython_does() -> None:
    """MEMOIZE takes the number of entries that there are, also where other numbers were used, and twice."""
    twice = b"\x80\x04Nr\xf0\xf0\x00\x00Nr\xf0\xf0\x00\x00Np3\n"
    names = streams.text("posix") + b"\x94" + streams.text("system") + b"0"
    found = [each.rule for each in scanned(twice + names + b"h\x02" + streams.text("system") + b"\x93" + b"N\x85R.")]
    assert "pickle.dangerous-call" in found


def test_strings_in_a_run_are_found_where_an_import_needs_them() -> None:
    """A run is stepped over in one go; a name in the middle of it is looked up when an import asks for it."""
    words = b"".join(streams.text(f"w{number}") + b"\x94" for number in range(100))
    names = streams.text("posix") + b"\x94" + streams.text("system") + b"\x94"
    data = b"\x80\x04](" + words + names + words + b"e" + b"h\x64h\x65\x93" + b"U\x04true\x85R."
    found = [each for each in scanned(data) if each.rule == "pickle.dangerous-call"]
    assert "posix.system" in found[0].message


def test_a_tuple_takes_the_last_items_of_a_run() -> None:
    """Items of a run are as good as pushed one by one."""
    data = b"\x80\x04(K\x01K\x02" + streams.text("posix") + b"\x94" + streams.text("system") + b"\x94\x93U\x04true\x85R"
    assert verdict(data + b"t.") is Verdict.MALICIOUS


def test_limits_end_a_scan_with_a_finding() -> None:
    """Beyond a limit nothing is read, and nothing is called clean."""
    found = scanned(b"\x80\x04" + b"N0" * 200_000 + b"N.", limits=Limits(steps=100_000))
    assert [each.rule for each in found] == ["limit.steps"]
    assert POLICY.on(found) is Verdict.UNSCANNABLE


def test_what_only_looks_like_a_pickle_is_no_pickle() -> None:
    """Words of people begin with letters that are opcodes."""
    for words in (
        b"class Model:\n    pass\n",
        b"I am a text.\n",
        b"N.B. read this first.\n",
        b"c\n\n",
        b"",
        b"(see below)\n",
    ):
        assert scanned(words, "README.txt") == ()


@given(st.binary(max_size=300), st.sampled_from(["a.pkl", "a.bin", "a"]))
def test_no_bytes_make_the_scanner_stumble(data: bytes, name: str) -> None:
    """Whatever the bytes are: an answer, and never an exception."""
    scanned(data, name)
    scanned(b"\x80\x04" + data, name)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=200))
def test_damage_to_an_honest_model_never_makes_it_stumble(seed: int, count: int) -> None:
    """A model with bytes changed at random is read to its break."""
    rng = random.Random(seed)  # noqa: S311 - a seed for tests
    data = bytearray(_HONEST)
    for _ in range(count):
        data[rng.randrange(len(data))] = rng.randrange(256)
    scanned(bytes(data))


_HONEST: Final = pickle.dumps({"a": np.arange(20.0), "b": [np.dtype("f4"), np.float64(1)], "c": "text" * 9})


def test_the_allow_list_holds_nothing_that_executes() -> None:
    """Names of the list of dangers are on the allow-list only where they are known to be harmless."""
    allowed = shipped()
    both = sorted(name for name in allowed.names if dangerous(*name.rpartition(".")[::2]))
    assert set(both) == HARMLESS & set(both), "a new entry of both lists needs a reason here"
    called = {name for name, shapes in allowed.calls.items() if shapes - {MADE, "new()"}}
    assert not called & {"builtins.eval", "builtins.exec", "builtins.getattr", "functools.partial", "numpy.load"}


LOSSES: Final = ("BinomialLoss", "MultinomialLoss", "PoissonLoss", "SquaredError", "TweedieLoss", "TweedieLossIdentity")
HARMLESS: Final = frozenset(
    {
        "joblib.numpy_pickle.NumpyArrayWrapper",  # describes an array
        "numpy.random._pickle.__bit_generator_ctor",
        "numpy.random._pickle.__generator_ctor",
        "numpy.random._pickle.__randomstate_ctor",
        "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
        "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked",
        "pandas._libs.interval.__pyx_unpickle_IntervalMixin",
        "pandas._libs.tslibs.nattype.__nat_unpickle",
        "pathlib.PurePosixPath",  # a path without a file system
        *(f"sklearn._loss._loss.__pyx_unpickle_CyHalf{loss}" for loss in LOSSES),
        "torch.storage.UntypedStorage",
    }
)


def test_an_archive_whose_first_bytes_lead_into_its_own_pickle_is_no_polyglot() -> None:
    """Read as opcodes, an archive begins with a line that ends anywhere; what follows may be an honest member."""
    for inner, expected in ((pickle.dumps(np.dtype("f8")), Verdict.CLEAN), (b"cposix\nsystem\n.", Verdict.MALICIOUS)):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            member = zipfile.ZipInfo("m.pkl")
            member.extra = b"\xfe\xca\x01\x00\n"  # the end of the line that the archive's first letter begins
            archive.writestr(member, inner)
        found = verdict(file.getvalue(), "a.zip")
        assert found is expected


def test_compressed_streams_hide_nothing() -> None:
    """What a compressor packed is unpacked and judged like anything else."""
    assert verdict(zlib.compress(b"\x80\x04cposix\nsystem\nU\x04true\x85R."), "m.pkl") is Verdict.MALICIOUS


def test_each_rule_of_pickles_is_in_the_reference() -> None:
    """A rule that scans report is explained to readers."""
    root = Path(__file__).parents[4]
    page = (root / "docs/reference/scan-pickles.md").read_text(encoding="utf-8")
    sources = (root / "src/holdfast/engines/scan/pickles").glob("*.py")
    rules = Counter(rule for source in sources for rule in re.findall(r'"(pickle\.[a-z-]+)"', source.read_text()))
    assert [rule for rule in rules if f"`{rule}`" not in page] == []
