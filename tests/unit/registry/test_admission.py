"""Passports are made of everything the ledger holds on a release and all it derives from, as of a checkpoint."""

import pytest

from holdfast.core import passport
from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.ledger import Checkpoint
from holdfast.core.passport import open_passport, parse_passport
from holdfast.registry import admission, build_passport, closure, news_of
from holdfast.testing.chronicle import ORIGIN, Chronicle, measured


def test_the_closure_follows_every_derivation_and_nothing_else() -> None:
    """Release, model and rows; not another release's model."""
    told = Chronicle()
    rows = told.record(Kind.DATASET)
    model = told.record(Kind.MODEL, rows)
    release = told.record(Kind.RELEASE, model)
    told.record(Kind.RELEASE, content=b"another")
    found = closure(told.ledger, release.digest, told.ledger.size())
    assert [entry.stream for entry in found] == [rows.digest, model.digest, release.digest]


def test_what_came_after_the_checkpoint_is_not_part_of_the_passport() -> None:
    """A passport says what was known at one moment, and nothing that moment's root does not prove."""
    told = Chronicle()
    release = told.record(Kind.RELEASE)
    signed = told.ledger.checkpoint()
    told.revoke(release)
    passport = parse_passport(build_passport(told.ledger, told.blobs, release.digest, signed))
    dossier = open_passport(passport, told.trust, origin=ORIGIN)
    assert dossier.nodes[release.digest].revoked == ""
    assert dossier.checkpoint.size == Checkpoint.size_of(signed) == 1
    later = [entry.kind for entry in closure(told.ledger, release.digest, told.ledger.size()) if entry.position >= 1]
    assert later == ["artifact.revoked"]


def test_one_envelope_that_two_entries_name_travels_once() -> None:
    """The same evidence filed twice."""
    told = Chronicle()
    model = told.record(Kind.MODEL)
    from holdfast.core.evidence import exactly

    evidence = measured("assess.quality/1", model, exactly("auc", 0.9))
    told.file(evidence, run="one")
    told.file(evidence, run="two")
    passport = told.passport(model)
    assert len(passport.entries) == 3
    assert len(passport.envelopes) == 1


def test_nothing_is_known_of_a_stranger() -> None:
    """No passport for what was never recorded."""
    told = Chronicle()
    told.record(Kind.MODEL)
    with pytest.raises(NotFound):
        build_passport(told.ledger, told.blobs, Digest("sha256:" + "0" * 64), told.ledger.checkpoint())


def test_a_closure_beyond_what_a_passport_may_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than cut off: what is left out could be the bad news."""
    monkeypatch.setattr(admission, "MAX_ENTRIES", 3)
    told = Chronicle()
    release = told.record(Kind.RELEASE)
    for _ in range(3):
        told.revoke(release)
    with pytest.raises(InvalidInput, match="over 3 entries"):
        build_passport(told.ledger, told.blobs, release.digest, told.ledger.checkpoint())


def test_news_is_what_a_decision_reads_and_nothing_else() -> None:
    """A promotion decides nothing; a run that began, a word or a revocation does, anywhere in the closure."""
    told = Chronicle()
    model = told.record(Kind.MODEL)
    release = told.record(Kind.RELEASE, model)
    since = told.ledger.size()
    told.write("release.promoted", release.digest, {})
    told.begin("assess.quality/1", told.record(Kind.MODEL, content=b"another"), "elsewhere")
    assert news_of(told.ledger, release.digest, since) == []
    told.begin("assess.quality/1", model, "one")
    told.authorize("alice", release)
    told.revoke(model)
    kinds = [entry.kind for entry in news_of(told.ledger, release.digest, since)]
    assert kinds == ["control.started", "authorization.filed", "artifact.revoked"]


def test_every_entry_that_a_dossier_is_made_of_counts_as_news() -> None:
    """A kind that the passport's reader learns to read must count here, too."""
    assert set(passport._READERS) == admission.DECISIVE
