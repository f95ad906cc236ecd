"""The registry's values: transitions, aliases, versions, what may go, and what lies about."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.artifact import Kind, digest_bytes
from holdfast.core.errors import Conflict, InvalidInput, NotFound, UsageError
from holdfast.lifecycle.commit import commit_of
from holdfast.registry import LIFECYCLE, Opener, Record, Signal, Standing, State, fold, returned_to
from holdfast.registry.aliases import alias_stream
from holdfast.registry.retention import Age, Family, Terms, age, doomed, kept, mentions
from holdfast.registry.sprawl import models_in, workspaces_in
from holdfast.registry.states import ANSWERING, BARRED, Effect
from holdfast.registry.versions import KINDS, PINNED, differences, missing
from holdfast.registry.views import SECTIONS, rows, sections
from holdfast.testing.chronicle import Chronicle
from holdfast.testing.memory import MemoryLedger

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HASH = "0123456789abcdef0123456789abcdef01234567"


def record(state: State = State.ASSESSED, **changes: Any) -> Record:
    """A record of a release."""
    about: dict[str, Any] = {
        "release": digest_bytes(b"r"),
        "trail": (),
        "ignored": (),
        "held": (),
        "archived": "",
        "measured": {},
        "approvals": {},
        "reason": "",
    }
    return Record(state=state, **(about | changes))


class TestLifecycle:
    """What the table of states promises."""

    def test_production_is_entered_from_where_a_release_is_approved_only(self) -> None:
        """Every row that leads to traffic begins in a state that stands on gates and approvals."""
        stands = {State.APPROVED, State.STAGING, *ANSWERING}
        assert {at for (at, _), (end, _) in LIFECYCLE.table.items() if end in ANSWERING} <= stands

    def test_a_state_that_bars_is_left_by_a_word_only(self) -> None:
        """From quarantine one is cleared or ended; what is revoked or retired only ends; a tombstone stays."""
        exits = {
            state: {
                signal for at, signal in LIFECYCLE.table if at is state and LIFECYCLE.step(at, signal)[0] is not state
            }
            for state in BARRED
        }
        assert exits == {
            State.QUARANTINED: {Signal.CLEARED, Signal.REVOKED, Signal.RETIRED},
            State.REVOKED: {Signal.RETIRED},
            State.RETIRED: {Signal.PURGED, Signal.QUARANTINED, Signal.REVOKED},
            State.PURGED: set(),
        }

    def test_what_answers_is_withdrawn_when_it_is_barred(self) -> None:
        """The effect stands on the row, so that no caller can forget it."""
        for state in ANSWERING:
            for signal in (Signal.QUARANTINED, Signal.REVOKED):
                assert LIFECYCLE.step(state, signal)[1] == (Effect.WITHDRAW,)

    def test_nobody_knows_a_release_that_was_never_recorded(self) -> None:
        """An empty history is no draft."""
        world = Chronicle()
        with pytest.raises(NotFound):
            fold(digest_bytes(b"nothing"), [], Opener(world.blobs, world.trust))


class TestAliases:
    """Names."""

    @pytest.mark.parametrize("name", ["", "Champion", "a/b", "../x", "a" * 64, "sha256:00"])
    def test_what_cannot_be_a_name_is_refused(self, name: str) -> None:
        """A name never leads to another stream."""
        with pytest.raises(InvalidInput):
            alias_stream(name)

    def test_a_named_earlier_release_takes_what_came_after_it_out_of_reach(self) -> None:
        """Going back two steps leaves nothing to go back to but what was before."""
        now = Standing(epoch=4, baseline="d", previous=("a", "b", "c"), posture="contained")
        assert returned_to(now, "b") == Standing(epoch=5, baseline="b", previous=("a",), posture="contained")
        for release in ("d", "x"):
            with pytest.raises(Conflict):
                returned_to(now, release)


class TestVersions:
    """The five kinds."""

    def test_whatever_is_missing_is_told(self) -> None:
        """An empty part is as missing as one that is not there."""
        whole = {kind: dict.fromkeys(PINNED[kind], "x") for kind in KINDS}
        assert missing(whole) == ()
        for kind in KINDS:
            for part in PINNED[kind]:
                lacking = whole | {kind: whole[kind] | {part: ""}}
                assert missing(lacking) == (f"{kind}: {part}",)

    @given(
        one=st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
        other=st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
    )
    def test_a_difference_is_told_once_and_only_where_there_is_one(
        self, one: dict[str, int], other: dict[str, int]
    ) -> None:
        """Applied to the one side, the differences make the other."""
        found = differences({"data": one}, {"data": other})
        made = dict(one)
        for item in found:
            assert item.before != item.after
            if item.after is None:
                del made[item.path]
            else:
                made[item.path] = item.after
        assert made == other

    def test_every_view_opens_with_the_status_and_an_unknown_one_is_refused(self) -> None:
        """All sections are shown where no role is named."""
        assert sections(None) == SECTIONS
        assert sections("operations")[0] == "status"
        with pytest.raises(UsageError):
            sections("nobody")
        assert rows({"a": {"b": [1, 2]}, "c": [{"d": 3}], "e": []}) == [("a.b", "1, 2"), ("c.0.d", "3"), ("e", "—")]


def digests(count: int) -> list[str]:
    """Some digests."""
    return [digest_bytes(str(number).encode()) for number in range(count)]


class TestRetention:
    """What may go."""

    @given(st.data())
    def test_what_lives_derives_from_nothing_that_may_go(self, data: st.DataObject) -> None:
        """For random families and any releases that are gone: no ancestor of a living release or model is doomed."""
        names = digests(12)
        kinds = [data.draw(st.sampled_from([Kind.DATASET, Kind.MODEL, Kind.RELEASE, Kind.METRICS])) for _ in names]
        plain = [name for name, kind in zip(names, kinds, strict=True) if kind is not Kind.RELEASE]
        parents = {}
        for place, name in enumerate(names):  # nothing derives from a release
            earlier = [each for each in names[:place] if each in plain]
            parents[name] = frozenset(data.draw(st.lists(st.sampled_from(earlier), max_size=3)) if earlier else [])
        known = Family(kinds=dict(zip(names, kinds, strict=True)), parents=parents)
        releases = [name for name in names if known.kinds[name] is Kind.RELEASE]
        gone = set(data.draw(st.lists(st.sampled_from(releases), unique=True))) if releases else set()
        found = doomed(known, gone)
        living = known.ancestors([release for release in releases if release not in gone])
        assert not found & living
        assert gone - living <= found

    def test_a_model_that_is_not_released_yet_keeps_its_data(self) -> None:
        """Its run may still be going on."""
        data, old, new, release = digests(4)
        known = Family(
            kinds={data: Kind.DATASET, old: Kind.MODEL, new: Kind.MODEL, release: Kind.RELEASE},
            parents={
                data: frozenset(),
                old: frozenset({data}),
                new: frozenset({data}),
                release: frozenset({old}),
            },
        )
        assert doomed(known, {release}) == {release, old}

    def test_what_a_kept_document_names_is_kept_and_what_a_dead_one_names_is_not(self) -> None:
        """From the ledger to a document to a file, but not through what is gone."""
        document, file, dead, lost = digests(4)
        world = Chronicle()
        world.write("note", "notes", {"blobs": [document, dead]})
        assert isinstance(world.ledger, MemoryLedger)
        held = {document: f'{{"files": ["{file}"]}}'.encode(), dead: f'{{"files": ["{lost}"]}}'.encode()}
        assert kept(world.ledger.entries(), {dead}, held.get) == {document, file}
        assert kept(world.ledger.entries(), set(), held.get) == {document, file, dead, lost}

    def test_digests_inside_an_envelope_are_found(self) -> None:
        """A sealed statement names things in base64."""
        world = Chronicle()
        release = world.record(Kind.RELEASE)
        assert release.digest in mentions(world.blobs.get(world.authorize("alice", release)))

    @given(
        state=st.sampled_from(State),
        held=st.booleans(),
        pinned=st.booleans(),
        days=st.integers(0, 400),
        archived=st.booleans(),
    )
    def test_held_or_deployed_things_are_never_removed(
        self, state: State, held: bool, pinned: bool, days: int, archived: bool
    ) -> None:
        """Whatever its age, what answers, is pointed to, or is held never expires."""
        about = record(state, held=("a court",) if held else (), archived="x" if archived else "")
        terms = Terms(stale_after=timedelta(days=10), archive_after=timedelta(days=20))
        found = age(about, NOW - timedelta(days=days), NOW, terms, pinned=pinned)
        if held or pinned or archived or state in ANSWERING or state is State.PURGED:
            assert found is Age.FRESH
        else:
            assert found is (Age.EXPIRED if days >= 20 else Age.STALE if days >= 10 else Age.FRESH)

    def test_without_terms_nothing_grows_old(self) -> None:
        """A project that says nothing loses nothing."""
        terms = Terms(stale_after=None, archive_after=None)
        assert age(record(), NOW - timedelta(days=9999), NOW, terms, pinned=False) is Age.FRESH


class TestSprawl:
    """What lies about."""

    def test_models_are_found_by_their_ending_and_links_and_workspaces_are_left_out(self, tmp_path: Path) -> None:
        """A link to a model is not another model; blobs of a workspace are told as blobs."""
        for name in ("a.onnx", "sub/b.PKL", "c.txt", ".holdfast/blobs/d.onnx", ".git/e.pt"):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        (tmp_path / "link.onnx").symlink_to(tmp_path / "a.onnx")
        assert [item.path for item in models_in(tmp_path)] == ["a.onnx", "sub/b.PKL"]
        (tmp_path / ".holdfast" / "workspace.json").write_bytes(b"{}")
        (tmp_path / "sub" / "mlruns").mkdir()
        assert set(workspaces_in(tmp_path)) == {tmp_path / ".holdfast", tmp_path / "sub" / "mlruns"}


class TestCommit:
    """The commit that a folder stands at."""

    def repository(self, folder: Path, head: str) -> Path:
        """A folder with git's own files."""
        (folder / ".git" / "refs" / "heads").mkdir(parents=True)
        (folder / ".git" / "HEAD").write_text(head, encoding="utf-8")
        return folder

    def test_it_is_read_from_a_branch_a_packed_one_and_a_detached_head(self, tmp_path: Path) -> None:
        """Also from a folder below the repository's."""
        folder = self.repository(tmp_path / "a", "ref: refs/heads/main\n")
        (folder / ".git" / "refs" / "heads" / "main").write_text(HASH + "\n", encoding="utf-8")
        (folder / "below").mkdir()
        assert commit_of(folder / "below") == HASH
        packed = self.repository(tmp_path / "b", "ref: refs/heads/main\n")
        (packed / ".git" / "packed-refs").write_text(f"# pack-refs\n{HASH} refs/heads/main\n", encoding="utf-8")
        assert commit_of(packed) == HASH
        assert commit_of(self.repository(tmp_path / "c", HASH)) == HASH

    def test_a_linked_worktree_is_followed(self, tmp_path: Path) -> None:
        """Its `.git` is a file that names the repository."""
        main = self.repository(tmp_path / "main", "ref: refs/heads/main\n")
        own = main / ".git" / "worktrees" / "w"
        own.mkdir(parents=True)
        (own / "HEAD").write_text("ref: refs/heads/w\n", encoding="utf-8")
        (own / "commondir").write_text("../..\n", encoding="utf-8")
        (main / ".git" / "refs" / "heads" / "w").write_text(HASH, encoding="utf-8")
        (tmp_path / "w").mkdir()
        (tmp_path / "w" / ".git").write_text(f"gitdir: {own}\n", encoding="utf-8")
        assert commit_of(tmp_path / "w") == HASH

    @pytest.mark.parametrize("head", ["", "nonsense", "ref: refs/heads/gone", "ref: ../../etc/passwd"])
    def test_what_cannot_be_read_is_no_commit(self, tmp_path: Path, head: str) -> None:
        """It is a help and never a proof."""
        assert commit_of(self.repository(tmp_path / "x", head)) == ""
