"""Artifacts: one byte or one name changed is another digest, and what is hashed has one form only."""

import base64
import contextlib
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785
from hypothesis import assume, example, given
from hypothesis import strategies as st

from holdfast.core import artifact as artifacts
from holdfast.core.artifact import (
    File,
    canonical,
    digest_bytes,
    from_base64,
    is_canonical,
    manifest,
    parse_digest,
    parse_manifest,
)
from holdfast.core.errors import InvalidInput, NotVerified

names = st.sampled_from(
    [
        "card.md",
        "model.onnx",
        "weights/0.bin",
        "weights/1.bin",
        "weights/deep/2.bin",
        "z",
        "é.txt",
        "\U0001f600",
        "\uffe6",
    ]
)
folders = st.dictionaries(names, st.binary(max_size=20), min_size=1, max_size=5)
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def listed(folder: dict[str, bytes]) -> list[File]:
    """The entries of a folder that is given as names and contents."""
    return [File(path=name, digest=digest_bytes(data), size=len(data)) for name, data in folder.items()]


@pytest.mark.requirement("PROV-13", by="holdfast.core.artifact:digest_bytes")
@pytest.mark.guarantee("G01")
@given(data=st.binary(min_size=1, max_size=200), where=st.integers(min_value=0), bit=st.integers(0, 7))
def test_one_changed_bit_is_another_artifact(data: bytes, where: int, bit: int) -> None:
    """The same bytes have one digest, and bytes that differ anywhere have another."""
    changed = bytearray(data)
    changed[where % len(data)] ^= 1 << bit
    assert digest_bytes(bytes(bytearray(data))) == digest_bytes(data)
    assert digest_bytes(bytes(changed)) != digest_bytes(data)


@pytest.mark.guarantee("G01")
@given(folder=folders, order=st.randoms(use_true_random=False))
def test_the_order_in_which_files_are_found_changes_nothing(folder: dict[str, bytes], order: Any) -> None:
    """Two walks over one folder give one manifest, sorted by the bytes of its paths."""
    files = listed(folder)
    shuffled = list(files)
    order.shuffle(shuffled)
    made = manifest(shuffled)
    assert made.document == manifest(files).document
    assert [file.path for file in made.files] == sorted(folder, key=str.encode)
    assert made.size == sum(map(len, folder.values()))


@pytest.mark.guarantee("G01")
@given(folder=folders, name=names, data=st.data())
def test_one_renamed_changed_added_or_removed_file_is_another_folder(
    folder: dict[str, bytes], name: str, data: st.DataObject
) -> None:
    """A folder's digest covers the name and the content of each of its files, and which files there are."""
    before = manifest(listed(folder)).digest
    target = data.draw(st.sampled_from(sorted(folder)))
    rest = {path: content for path, content in folder.items() if path != target}
    variants = [rest | {target: folder[target] + b"\0"}, rest, rest | {name: folder[target]}, folder | {name: b"new"}]
    for variant in variants:
        assume(variant != folder)
        if variant:
            assert manifest(listed(variant)).digest != before


@given(folder=folders)
def test_a_manifest_reads_back_as_it_was_written(folder: dict[str, bytes]) -> None:
    """Only the canonical document of a manifest is that manifest."""
    made = manifest(listed(folder))
    assert parse_manifest(made.document) == made
    for other in (json.dumps(json.loads(made.document), indent=1).encode(), made.document + b" "):
        with pytest.raises(NotVerified):
            parse_manifest(other)


@given(folder=folders, where=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_manifest_with_a_flipped_bit_is_refused_or_another_folder(
    folder: dict[str, bytes], where: int, bit: int
) -> None:
    """No change of a manifest's bytes goes unnoticed: it is no manifest any more, or has another digest."""
    made = manifest(listed(folder))
    changed = bytearray(made.document)
    changed[where % len(changed)] ^= 1 << bit
    with contextlib.suppress(NotVerified):
        assert parse_manifest(bytes(changed)).digest != made.digest


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "../outside",
        "a/../b",
        "a/./b",
        ".",
        "a//b",
        "a/",
        "a\\b",
        "a\0b",
        "a\nb",
        "a\x7fb",
        "model\u202exnno.py",
        "e\u0301.onnx",
        "\ud800.onnx",
        "a" * 1025,
    ],
)
def test_a_path_that_two_systems_read_differently_is_refused(path: str) -> None:
    """Paths are relative, plain, NFC, without anything invisible: they mean the same wherever they are unpacked."""
    with pytest.raises(InvalidInput, match="plain relative path"):
        manifest([File(path=path, digest=digest_bytes(b""), size=0)])


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("Model.onnx", "model.onnx", "twice"),
        ("straße", "STRASSE", "twice"),
        ("same", "same", "twice"),
        ("model", "model/weights", "a file and a folder"),
        ("Model/weights", "model", "a file and a folder"),
    ],
)
def test_two_files_that_one_disk_cannot_hold_are_refused(first: str, second: str, words: str) -> None:
    """Names that differ in letter case only, or a file that is also a folder, would overwrite each other somewhere."""
    files = [File(path=path, digest=digest_bytes(path.encode()), size=1) for path in (first, second)]
    with pytest.raises(InvalidInput, match=words):
        manifest(files)


def test_a_folder_without_files_is_refused() -> None:
    """Empty means no: a folder without files proves nothing."""
    with pytest.raises(InvalidInput, match="no files"):
        manifest([])


def test_a_folder_with_too_many_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of files is limited before any of them is looked at."""
    monkeypatch.setattr(artifacts, "MAX_MANIFEST_FILES", 3)
    files = [File(path=f"{number}", digest="nonsense", size=0) for number in range(4)]
    with pytest.raises(InvalidInput, match="4 files"):
        manifest(files)


def test_a_file_of_negative_size_is_refused() -> None:
    """Sizes add up to the folder's size, so none may take away."""
    with pytest.raises(InvalidInput, match="size of -1"):
        manifest([File(path="a", digest=digest_bytes(b""), size=-1)])


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"[]", b"\xff", b'{"files":"\xff"}', b"[" * 100_000, b'{"files":[]}', b'{"files":[{"path":"a"}]}'],
    ids=repr,
)
def test_bytes_that_are_no_manifest_are_refused_in_words(document: bytes) -> None:
    """Whatever is found where a manifest should be ends in one error, never in a traceback."""
    with pytest.raises(NotVerified, match="not a folder manifest"):
        parse_manifest(document)


def test_a_file_that_is_not_in_a_folder_is_asked_for_in_vain() -> None:
    """A folder answers for its own files only."""
    made = manifest(listed({"a": b"1"}))
    assert made.file("a").size == 1
    with pytest.raises(NotVerified, match="no file 'b'"):
        made.file("b")


@given(value=values)
def test_canonical_json_of_canonical_json_is_itself(value: Any) -> None:
    """Reading canonical bytes and writing them again changes nothing, and the order of keys never mattered."""
    document = canonical(value)
    assert canonical(json.loads(document, parse_int=float)) == document
    if isinstance(value, dict):
        assert canonical(dict(reversed(value.items()))) == document


@given(value=values)
@example([1.0, 0.0, -0.0, 1e-5, 1.5e-5, 1e16, 1e21, 123456789012345.0, 2**53 - 1, 10**15, 10**14, 1234567890123456.5])
@example(1e16)
@example({"\U00010000": 1, "\uffff": 2, "\x7f": '\x00\x1f\b\f\n\r\t"\\/'})
@example([':1.0,"', ",1e5]"])
def test_the_short_way_to_canonical_bytes_is_the_long_way(value: Any) -> None:
    """Whatever is written by Python's own encoder is what the RFC's reference would have written."""
    assert canonical(value) == rfc8785.dumps(value)


@given(value=values, spelling=st.sampled_from(["", " ", "ascii", "reversed", "0", "e0"]), bit=st.integers(0, 4000))
@example({"a": 1.0}, "", 0)
@example([10**16, 2**53 + 1, -0.0], "", 0)
def test_a_document_is_canonical_or_it_is_not(value: Any, spelling: str, bit: int) -> None:
    """In each spelling, and with a bit turned, a document is called canonical where writing it anew changes nothing."""
    separators = (",", ": ") if spelling == " " else (",", ":")
    sort, plain = spelling != "reversed", spelling == "ascii"
    document = json.dumps(value, separators=separators, sort_keys=sort, ensure_ascii=plain, allow_nan=False).encode()
    turned = bytearray(document)
    turned[bit // 8 % len(turned)] ^= 1 << bit % 8
    extended = re.sub(rb"([0-9])(?=[,\]}])", rb"\g<1>" + spelling.encode(), document)
    for each in (document, bytes(turned), extended):
        assert _said(is_canonical, each) == _said(_anew, each)


def _anew(document: bytes) -> bool:
    """Whether the long way finds a document canonical."""
    return bool(rfc8785.dumps(json.loads(document, parse_int=float)) == document)


def _said(check: Callable[[bytes], bool], document: bytes) -> bool:
    """What a check says; nothing that cannot be read is canonical."""
    try:
        return check(document)
    except (ValueError, RecursionError, InvalidInput):
        return False


@given(items=st.sets(st.text("abc", max_size=3), max_size=6))
def test_a_set_has_one_canonical_form(items: set[str]) -> None:
    """The order in which a set happens to lie in memory is not part of its digest."""
    assert canonical(items) == canonical(sorted(items))


def endless() -> list[Any]:
    """A list inside a list inside a list, and so on."""
    value: list[Any] = []
    for _ in range(50_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**53, -(2**53), "\ud800", {"\ud800": 1}, object(), endless()],
    ids=["nan", "inf", "large", "small", "surrogate", "surrogate key", "object", "endless"],
)
def test_a_value_without_canonical_form_is_refused(value: Any) -> None:
    """What another language would read differently has no digest."""
    with pytest.raises(InvalidInput, match="no canonical JSON form"):
        canonical(value)


@given(data=st.binary(max_size=64))
@example(b"")
def test_a_digest_reads_back_and_nothing_else_does(data: bytes) -> None:
    """A digest is `sha256:` and 64 lower-case hexadecimal digits, to the letter."""
    digest = digest_bytes(data)
    assert parse_digest(digest) == digest
    hexadecimal = digest.removeprefix("sha256:")
    for wrong in (
        digest.upper(),
        digest[:-1],
        f"{digest}0",
        f"{digest}\n",
        f" {digest}",
        hexadecimal,
        f"sha1:{hexadecimal}",
    ):
        with pytest.raises(InvalidInput, match="not a digest"):
            parse_digest(wrong)


@given(text=st.text(max_size=80))
def test_no_other_text_is_a_digest(text: str) -> None:
    """Strangers' text in place of a digest is refused, however it is made."""
    with pytest.raises(InvalidInput):
        parse_digest(text)


@given(data=st.binary(max_size=40), where=st.integers(min_value=0), bit=st.integers(0, 7))
def test_bytes_have_one_base64_form(data: bytes, where: int, bit: int) -> None:
    """Decoders ignore bits at the end of base64; here each changed bit of the text is refused or changes the bytes."""
    text = base64.b64encode(data)
    assert from_base64(text) == from_base64(text.decode()) == data
    if text:
        changed = bytearray(text)
        changed[where % len(text)] ^= 1 << bit
        with contextlib.suppress(InvalidInput):
            assert from_base64(bytes(changed)) != data


@pytest.mark.parametrize("text", ["é", "AA=", "AA", "AB==", "A A=", "AAAA\n", "\ud800", "A-_A"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    """Foreign characters, missing padding and unused bits are errors, not details."""
    with pytest.raises(InvalidInput, match="base64"):
        from_base64(text)
