"""Whatever the bytes are, a scan ends, raises nothing and stays small."""

import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.scan import models
from tests.unit.scan.models import field, varint

from holdfast.core.evidence import MAX_FINDINGS, check_evidence
from holdfast.engines.scan import onnx as scanner
from holdfast.engines.scan import rules
from holdfast.engines.scan.report import MAX_WORDS, Findings
from holdfast.engines.scan.schema import MESSAGES, Field
from holdfast.engines.scan.wire import FIXED32, FIXED64, LEN, VARINT

HONEST = models.honest()
SMALL = 512 * 1024  # bytes a scan may take beside the file, with limits of a few hundred
LONGEST_PATH = 2000  # characters of a place: 64 messages inside one another have names of 30 at most


def check(data: bytes) -> None:
    """Scan, and hold the result to what every result must be."""
    structure, findings = models.scan(data)
    assert len(findings) <= MAX_FINDINGS
    for finding in findings:
        assert finding.message
        assert len(finding.message) < 3 * MAX_WORDS + 200
        assert len(finding.place) < LONGEST_PATH
        assert (finding.message + finding.place).isprintable()
    assert all(len(text) <= MAX_WORDS + 1 for text in (structure.producer,))


@given(st.binary(max_size=2000))
@example(b"")
@example(b"\x3a\xff\xff\xff\xff\x0f")
@settings(max_examples=300)
def test_any_bytes_are_scanned_without_an_error(data: bytes) -> None:
    """Noise is a finding, never an exception."""
    check(data)


@given(st.sampled_from(sorted(HONEST)), st.data())
@settings(max_examples=300)
def test_a_damaged_model_is_scanned_without_an_error(name: str, data: st.DataObject) -> None:
    """Flips, cuts, repeats and insertions in a valid model, up to eight at once."""
    model = bytearray(HONEST[name])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(model)))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"])):
            case "flip" if at < len(model):
                model[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del model[at : at + data.draw(st.integers(1, 40))]
            case "insert":
                model[at:at] = data.draw(st.binary(min_size=1, max_size=20))
            case _:
                model[at:at] = model[max(0, at - 30) : at]
    check(bytes(model))


@pytest.mark.parametrize("name", sorted(HONEST))
def test_every_truncation_is_scanned_and_noticed(name: str) -> None:
    """A model cut anywhere but between two top-level fields is malformed; there, it lacks what was cut."""
    model = HONEST[name]
    for end in range(0, len(model), 1 + len(model) // 400):
        check(model[:end])
        assert models.scan(model[:end])[1] or models.counted(models.scan(model[:end])[0]) == models.operators(model)


@pytest.mark.parametrize("name", ["gemm", "function", "nested"])
def test_every_single_flipped_bit_is_scanned(name: str) -> None:
    """One bit anywhere: no exception, and the result is whole."""
    model = HONEST[name]
    for bit in range(8 * len(model)):
        damaged = bytearray(model)
        damaged[bit // 8] ^= 1 << bit % 8
        check(bytes(damaged))


def messages(name: str, depth: int) -> st.SearchStrategy[bytes]:
    """Well-formed messages of the schema with hostile values: what random bytes never reach."""
    fields = [_field(number, spec, depth) for number, spec in MESSAGES[name].items() if depth or not spec.child]
    return st.lists(st.one_of(fields), max_size=4).map(b"".join) if fields else st.just(b"")


def _field(number: int, spec: Field, depth: int) -> st.SearchStrategy[bytes]:
    numbers = st.sampled_from([0, 1, 7, 2**31, 2**63, 2**64 - 1])
    if spec.child:
        return st.deferred(lambda: messages(spec.child, depth - 1)).map(lambda body: field(number, body))
    if spec.wire == VARINT:
        packed = st.lists(numbers, max_size=20).map(lambda many: field(number, b"".join(map(varint, many))))
        return st.one_of(numbers.map(lambda value: field(number, value)), packed)
    if spec.wire == LEN:
        words = st.sampled_from([b"", b"Loop", b"Constant", b"Expand", b"value", b"s", b"location", b"../x", b"\xff"])
        return st.one_of(words, st.binary(max_size=24)).map(lambda body: field(number, body))
    width = {FIXED32: 4, FIXED64: 8}[spec.wire]
    return st.binary(min_size=width, max_size=width).map(lambda body: varint(number << 3 | spec.wire) + body)


@given(messages("ModelProto", 5))
@settings(max_examples=400)
def test_any_message_of_the_schema_is_scanned_without_an_error(data: bytes) -> None:
    """Structure without sense: extreme numbers, empty names, tensors in every place a tensor may stand."""
    check(data)


def _hostile() -> dict[str, bytes]:
    """Files whose every part is small and new, to make a careless scanner remember all of it."""
    count = 20_000
    node = [field(1, field(4, b"op%d" % i) + field(7, b"d%d" % i)) for i in range(count)]
    named = [field(5, field(1, 1) + field(2, 7) + field(8, b"n%d" % i) + field(7, 5)) for i in range(count)]
    called = [field(25, field(1, b"f%d" % i) + field(10, b"l")) for i in range(count)]
    return {
        "operators": field(7, b"".join(node)),
        "literals": field(7, b"".join(named)),
        "functions": b"".join(called),
        "domains": b"".join(field(8, field(1, b"d%d" % i) + field(2, i)) for i in range(count)),
        "notes": b"".join(field(14, field(1, b"k") + field(2, b"eval(%d)" % i)) for i in range(count)),
        "calls": b"".join(
            field(25, field(1, b"f%d" % i) + b"".join(field(7, field(4, b"op%d" % j)) for j in range(100)))
            for i in range(200)
        ),
        "sizes": field(7, b"".join(field(1, field(4, b"Tile") + field(1, b"i%d" % i)) for i in range(count))),
        "dims": field(7, field(5, field(1, 2**40) * count)),
    }


@pytest.mark.parametrize("name", sorted(_hostile()))
def test_memory_is_bounded_by_the_limits_and_not_by_the_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With limits of a few hundred, tens of thousands of new names take no more memory than a few hundred do."""
    for limit in ("MAX_OPERATORS", "MAX_FUNCTIONS", "MAX_LITERALS", "MAX_WATCHED", "MAX_CALLS"):
        monkeypatch.setattr(rules, limit, 256)
    data, findings = _hostile()[name], Findings()
    tracemalloc.start()
    scanner.scan(memoryview(data), "model.onnx", findings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < SMALL


def test_a_finding_is_fit_for_evidence() -> None:
    """What a scan reports goes into evidence as it is."""
    from holdfast.core.artifact import Kind
    from holdfast.core.evidence import Evidence, MadeWith, Outcome, exactly

    _, findings = models.scan(b"\x3a\xff")
    check_evidence(
        Evidence(
            control="release.scan/1",
            subject="sha256:" + "0" * 64,
            kind=Kind.MODEL,
            outcome=Outcome.MEASURED,
            made_with=MadeWith(code="c", configuration="d"),
            measures=(exactly("findings", len(findings)),),
            findings=tuple(findings),
        )
    )
