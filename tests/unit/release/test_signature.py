"""The signature of a release as evidence: measured over what is stored, and never a pass without a trusted key."""

from pathlib import Path

import pytest
from tests.unit.release import stands
from tests.unit.release.stands import Packaged, key

from holdfast.core.artifact import parse_manifest
from holdfast.core.evidence import Evidence, Outcome, Severity
from holdfast.core.trust import TrustedKey
from holdfast.engines.signing.model_signing import sign
from holdfast.release import check_signature


@pytest.fixture
def made(tmp_path: Path) -> Packaged:
    """A release."""
    return stands.world(tmp_path).packaged()


def bundle(made: Packaged, number: int = 1) -> bytes:
    """Its signature by one of the keys."""
    folder = parse_manifest(made.world.ws.blobs.get(made.release.digest))
    return sign(folder, "tumours", key(number), [key(number).trusted])


def checked(made: Packaged, document: bytes, *keys: TrustedKey) -> Evidence:
    """The evidence about it, by default with the first key trusted."""
    return check_signature(made.world.ws, made.release, document, keys or (key().trusted,), stands.MADE_WITH)


def test_a_good_signature_covers_every_file(made: Packaged) -> None:
    """Verified, over all six files, with the key and the root as facts."""
    evidence = checked(made, bundle(made))
    assert evidence.outcome is Outcome.MEASURED
    assert {m.name: m.value for m in evidence.measures} == {"verified": 1, "files_covered": 6}
    assert evidence.facts["keyid"] == key().keyid
    assert evidence.subject == made.release.digest
    assert made.release.digest in evidence.made_with.data
    assert evidence.findings == ()


@pytest.mark.parametrize("attack", ["foreign key", "other release", "noise", "no key trusted"])
def test_a_wrong_signature_is_measured_as_wrong(attack: str, made: Packaged, tmp_path: Path) -> None:
    """Not failed, which a later run could supersede: a wrong signature on a release stays on record."""
    other = stands.world(tmp_path / "other").packaged(started="2020-01-01T00:00:00+00:00")
    if attack == "no key trusted":
        evidence = check_signature(made.world.ws, made.release, bundle(made), (), stands.MADE_WITH)
    else:
        document = {"foreign key": bundle(made, 2), "other release": bundle(other), "noise": b"{}"}[attack]
        evidence = checked(made, document)
    assert evidence.outcome is Outcome.MEASURED
    assert {m.name: m.value for m in evidence.measures} == {"verified": 0, "files_covered": 0}
    assert [finding.severity for finding in evidence.findings] == [Severity.CRITICAL]


def test_during_a_rotation_either_key_verifies(made: Packaged) -> None:
    """The bundle names which one."""
    both = (key(1).trusted, key(2).trusted)
    for number in (1, 2):
        evidence = checked(made, bundle(made, number), *both)
        assert evidence.measures[0].value == 1
        assert evidence.facts["keyid"] == key(number).keyid


def test_a_file_that_was_damaged_in_the_store_fails_the_control(made: Packaged) -> None:
    """The signature is checked over bytes that are there, not over digests that somebody wrote down."""
    document = bundle(made)
    card = made.read("card.md")
    (stored,) = (
        path
        for path in (made.world.ws.scratch.parent / "blobs").rglob("*")
        if path.is_file() and path.read_bytes() == card
    )
    stored.chmod(0o600)
    stored.write_bytes(card + b" ")
    evidence = checked(made, document)
    assert evidence.outcome is Outcome.FAILED
    assert not evidence.measures
