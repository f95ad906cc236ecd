"""Traffic: what the gateway told of a release becomes evidence about it, and evidence beyond the promise a signal.

Measuring never ends, so what lies within the promise is kept beside the release's own history, in a stream that no
passport carries. What lies beyond it, or failed, is filed on the release itself: bad news travels with it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from holdfast.core.artifact import Artifact, Digest, Kind, digest_json
from holdfast.core.errors import LedgerBroken, NotFound, NotVerified
from holdfast.core.evidence import Evidence, MadeWith, Outcome
from holdfast.core.ledger import Draft
from holdfast.core.passport import FILED, RECORDED
from holdfast.core.project import Project, Slo
from holdfast.core.restatement import void
from holdfast.core.seal import EVIDENCE, TELEMETRY, Telemetry, unseal
from holdfast.core.signals import Raised, Signal
from holdfast.core.telemetry import DRAINED, MEASURED, Window, add_windows, traffic_stream
from holdfast.lifecycle.intake import profiles_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.routing import project_of
from holdfast.lifecycle.security import pruned_before


def windows_of(plant: Plant, release: str, since: int) -> list[Window]:
    """Return what a release did, window by window, as taken in after ledger position `since`.

    Raises:
        NotVerified: A stored statement was changed.
    """
    return [window for _, window in _told(plant, {release}, since)]


def side_by_side(plant: Plant, candidate: str, baseline: str, since: int) -> Iterator[tuple[Window, Window]]:
    """Yield what two releases did in the same time, in blocks in which both were called.

    A gateway tells of both in one breath, so that they lie side by side in the ledger; a window in which only one of
    them was called joins the next block. Their sizes depend on traffic, never on its outcome.

    Raises:
        NotVerified: A stored statement was changed.
    """
    waiting: dict[str, Window] = {}
    for release, window in _told(plant, {candidate, baseline}, since):
        waiting[release] = add_windows(waiting[release], window) if release in waiting else window
        if all(each in waiting and waiting[each].requests for each in (candidate, baseline)):
            yield waiting.pop(candidate), waiting.pop(baseline)


def _told(plant: Plant, releases: set[str], since: int) -> Iterator[tuple[str, Window]]:
    for release, told in statements_of(plant, releases, since):
        yield release, msgspec.convert(told.body, Window)


def statements_of(plant: Plant, releases: set[str], since: int) -> Iterator[tuple[str, Telemetry]]:
    """Yield what gateways stated of these releases, in ledger order, as taken in after position `since`.

    Raises:
        NotVerified: A stored statement was changed.
    """
    for entry in plant.ledger.entries(max(since + 1, pruned_before(plant))):
        if entry.kind == DRAINED and entry.body["release"] in releases:
            envelope = plant.blobs.get(Digest(entry.body["envelope"]))
            if void(envelope, plant.trust):
                continue  # by a gateway's key that was revoked: nobody knows what the traffic was
            yield entry.body["release"], unseal(envelope, TELEMETRY, plant.trust, at=entry.moment).value


def measure_traffic(plant: Plant, project: Project) -> tuple[list[Evidence], list[Raised]]:
    """Measure each release that answers, once enough traffic has come since it was last measured.

    What is stored and does not verify any more is an integrity failure of the release it belongs to.
    """
    from holdfast.watch import signals  # with numpy, which a rollback does without

    evidence: list[Evidence] = []
    raised: list[Raised] = []
    for release in standing(plant, project).releases:
        try:
            total = _unmeasured(plant, release)
            slo = project_of(plant, release).slo
            if total is None or max(total.rows, total.requests) < slo.min_window:
                continue
            found = _measured(plant, Digest(release), total, slo)
        except LedgerBroken:
            raise
        except (NotVerified, NotFound) as error:
            words = f"what is stored of it does not verify: {error.message} ({error.place})"
            raised.append(Raised(signal=Signal.INTEGRITY_FAILURE, subject=release, words=words))
            continue
        evidence += found
        raised += signals(found, slo)
    return evidence, raised


def _unmeasured(plant: Plant, release: str) -> Window | None:
    """Return all that a release did since it was last measured, in one window; None for nothing at all."""
    last = plant.last(traffic_stream(release), MEASURED) or plant.last(release, RECORDED)
    windows = windows_of(plant, release, last.position if last else -1)
    if not windows:
        return None
    total = windows[0]
    for window in windows[1:]:
        total = add_windows(total, window)
    return total


def _measured(plant: Plant, release: Digest, total: Window, slo: Slo) -> Sequence[Evidence]:
    """Measure one window, seal the evidence and put it on record."""
    from holdfast.watch import Traffic, signals, watch

    inputs, scores = profiles_of(plant, release)
    traffic = Traffic(window=total, inputs=inputs, scores=scores, min_rows=slo.min_window)
    subject = Artifact(kind=Kind.RELEASE, digest=release, size=0)
    made_with = MadeWith(code=plant.code, configuration=digest_json(slo), data=(digest_json(total),))
    evidence = watch(traffic, subject, made_with)
    listed: list[dict[str, Any]] = []
    drafts: list[Draft] = []
    for item in evidence:
        envelope = plant.seal(item, EVIDENCE, "watch")
        about = {"control": item.control, "envelope": envelope, "outcome": item.outcome}
        listed.append(about)
        if item.outcome is Outcome.FAILED or signals([item], slo):
            body = about | {"run": envelope}
            drafts.append(Draft(kind=FILED, actor="watch", stream=release, body=body))
    counted = {"rows": total.rows, "requests": total.requests, "evidence": listed}
    plant.ledger.append([Draft(kind=MEASURED, actor="watch", stream=traffic_stream(release), body=counted), *drafts])
    return evidence
