"""Files of torch: honest ones are clean, and nothing hides beside, behind or instead of what torch writes."""

import io
import struct
import zipfile
from pathlib import Path

import pytest
from tests.unit.scan.containers.files import FOUND, PAYLOAD, SEEDS, rules, scan, seeded, severities

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers import torch_legacy

VECTORS = Path(__file__).parents[3] / "vectors" / "torch"
CALL = b"\x80\x02cbuiltins\neval\nX\x04\x00\x00\x00None\x85R."
"""A pickle that would compute nothing, and that no model holds."""


def changed(name: str, members: dict[str, bytes]) -> bytes:
    """Return an archive of torch with members replaced or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(VECTORS / name) as old, zipfile.ZipFile(out, "w") as new:
        kept = {each.filename: old.read(each) for each in old.infolist()}
        for each, data in {**kept, **members}.items():
            new.writestr(zipfile.ZipInfo(each), data)
    return out.getvalue()


def called(data: bytes) -> bool:
    """Return whether the call was found."""
    return any(each.rule == "pickle.dangerous-call" for each in scan(data))


@pytest.mark.parametrize("name", sorted(path.name for path in VECTORS.glob("*.pt")))
def test_honest_files_are_clean(name: str) -> None:
    """Tensors of five types, a whole module, the older form, TorchScript by scripting and by tracing."""
    assert not rules((VECTORS / name).read_bytes())


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.containers.zips:scan")
def test_the_pickle_of_an_archive_is_scanned_whatever_its_folder_is_called() -> None:
    """Also when the whole archive lies in another."""
    data = changed("state.pt", {"state/data.pkl": CALL})
    assert called(data)
    assert called(changed("module.pt", {"module/constants.pkl": CALL}))
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("model.pt", data)
    found = [each.place for each in scan(outer.getvalue()) if each.rule == "pickle.dangerous-call"]
    assert found[0].startswith("file!/model.pt!/state/data.pkl byte ")


def test_raw_numbers_are_stepped_over_and_other_members_are_not() -> None:
    """What torch never unpickles is no pickle; what torch never writes is a finding and is scanned."""
    with zipfile.ZipFile(VECTORS / "state.pt") as archive:
        size = len(archive.read("state/data/0"))
    assert not rules(changed("state.pt", {"state/data/0": (CALL * 9)[:size]}))
    strange = changed("state.pt", {"state/data/0.pkl": CALL, "other/data/0": PAYLOAD})
    assert severities(scan(strange))["torch.extra"] == Severity.MEDIUM
    assert called(strange)
    assert FOUND in rules(strange)


@pytest.mark.parametrize(
    ("name", "rule"), [("model/.data/extern_modules", "torch.package"), ("MAR-INF/MANIFEST.json", "torch.handler")]
)
def test_archives_that_bring_code_of_their_own_are_named(name: str, rule: str) -> None:
    """Whoever opens one runs it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"{}")
    assert severities(scan(out.getvalue()))[rule] == Severity.HIGH


def test_storages_are_those_that_the_pickle_names() -> None:
    """Each is there, has the bytes that its type and count make, and has no others beside it."""
    with zipfile.ZipFile(VECTORS / "state.pt") as archive:
        weights = archive.read("state/data/0")
    assert rules(changed("state.pt", {"state/data/0": weights[:-1]})) == {"torch.size"}
    assert rules(changed("state.pt", {"state/data/0": weights + b"more"})) == {"torch.size"}
    assert rules(changed("state.pt", {"state/data/99": b"more"})) == {"torch.unused"}
    out = io.BytesIO()
    with zipfile.ZipFile(VECTORS / "state.pt") as old, zipfile.ZipFile(out, "w") as new:
        for each in old.namelist():
            if each != "state/data/1":
                new.writestr(each, old.read(each))
    assert rules(out.getvalue()) == {"torch.malformed"}


def test_torchscript_may_name_its_own_classes_and_nothing_else() -> None:
    """Its classes are code in the archive; a name that Python would import is judged as ever."""
    own = b"\x80\x02c__torch__.Mine\nClass\n)\x81}b."
    assert not rules(changed("script.pt", {"script/constants.pkl": own}))
    assert "pickle.unknown-import" in rules(changed("state.pt", {"state/constants.txt": own}))
    assert called(changed("script.pt", {"script/data.pkl": CALL}))
    assert called(changed("script.pt", {"script/code/__torch__.py.debug_pkl": CALL}))
    assert "pickle.unknown-import" in rules(changed("script.pt", {"script/data.pkl": b"\x80\x02cmine\nThing\n."}))


def test_two_folders_that_could_be_the_archive_are_both_scanned() -> None:
    """Torch takes the folder of the first member; the other is what it never writes."""
    data = changed("state.pt", {"other/data.pkl": CALL, "other/version": b"3", "other/data/0": CALL})
    assert called(data)
    assert severities(scan(data))["torch.extra"] == Severity.MEDIUM


def test_a_member_with_two_names_is_scanned_under_both() -> None:
    """Raw numbers by the directory, the pickle by the local header: who walks from the front unpickles it."""
    data = changed("state.pt", {"state/data/7.pkl": CALL})
    at = data.index(b"state/data/7.pkl")
    directory = data.rindex(b"state/data/7.pkl")
    swapped = data[:directory] + b"state/data/77777" + data[directory + 16 :]
    assert at < directory
    assert called(swapped)


def test_bytes_behind_the_pickle_of_an_archive_are_a_finding() -> None:
    """Torch reads one pickle; what stands behind is scanned too."""
    with zipfile.ZipFile(VECTORS / "state.pt") as archive:
        honest = archive.read("state/data.pkl")
    data = changed("state.pt", {"state/data.pkl": honest + PAYLOAD})
    assert severities(scan(data)).items() >= {("torch.trailing", Severity.HIGH), (FOUND, Severity.CRITICAL)}


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.containers.torch_legacy:scan")
@pytest.mark.parametrize("index", range(1, 5))
def test_each_pickle_of_the_older_form_is_scanned(index: int) -> None:
    """Torch unpickles five, one after another; any of them may be the one that calls."""
    data = (VECTORS / "legacy.pt").read_bytes()
    starts = [0]
    for _ in range(4):
        starts.append(data.index(b".\x80\x02", starts[-1]) + 1)
    attack = data[: starts[index]] + CALL + (data[starts[index + 1] :] if index < 4 else data[-8:])
    assert called(attack)


def test_a_class_in_the_older_form_is_judged_like_any_other() -> None:
    """Torch keeps a module's class with its source; what stands for it is the class, which is then made."""
    data = (VECTORS / "legacy-module.pt").read_bytes()
    assert data.count(b"torch.nn.modules.activation\nReLU\n") == 1
    other = data.replace(b"torch.nn.modules.activation\nReLU\n", b"subprocess\nPopen\n")
    assert "pickle.dangerous-call" in rules(other)


def test_names_of_storages_may_be_addresses() -> None:
    """As torch wrote them before it counted."""
    with zipfile.ZipFile(VECTORS / "state.pt") as archive:
        weights, honest = archive.read("state/data/0"), archive.read("state/data.pkl")
    renamed = honest.replace(b"X\x01\x00\x00\x000q", b"X\x0e\x00\x00\x0094474321230416q")
    assert renamed != honest
    data = changed("state.pt", {"state/data.pkl": renamed, "state/data/94474321230416": weights})
    assert rules(data) == {"torch.unused"}


@pytest.mark.parametrize("seed", SEEDS)
def test_bytes_behind_the_storages_of_the_older_form_are_a_finding(seed: int) -> None:
    """Every byte is a count or an element; what is neither is scanned."""
    rng = seeded(seed)
    data = (VECTORS / "legacy.pt").read_bytes()
    found = severities(scan(data + b"\xff" * rng.randint(1, 7) + PAYLOAD))
    assert found["torch.trailing"] == Severity.HIGH
    storage = struct.pack("<q", 3) + bytes(24)
    assert not rules(data + storage)


def test_the_older_form_cut_off_is_unscannable_and_what_is_there_is_scanned() -> None:
    """In a pickle, between two, and in the storages."""
    data = (VECTORS / "legacy.pt").read_bytes()
    second = data.index(b".\x80\x02") + 1
    assert rules(data[:second]) == {"torch.malformed"}
    assert "pickle.malformed" in rules(data[:100])
    assert "torch.trailing" in rules(data[:-3])


def test_many_places_where_storages_could_begin_are_tried_once_each() -> None:
    """Zeros can be counts at every eighth byte: the search is bounded."""
    view = memoryview(bytes(8 * torch_legacy.MAX_TRIED * 3 + 5))
    assert torch_legacy._storages(view, 0) < len(view)
    assert torch_legacy._storages(memoryview(bytes(8000)), 0) == 8000
