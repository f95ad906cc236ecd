"""Compliance: for each provision of the control map, which evidence shows it now for one model, and what is missing.

Everything is read anew: evidence from the release's dossier, guards from the route table that answers, facts from the
workspace. It is evidence for a reader who judges; it never says that anything is complied with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.compliance import ControlMap, Live, Stood, parse_map, stand
from holdfast.core.errors import HoldfastError, NotFound
from holdfast.core.evidence import Outcome
from holdfast.core.passport import RECORDED, Dossier
from holdfast.core.policy import Action, Denial, seconds
from holdfast.core.project import Project
from holdfast.core.routes import RouteTable
from holdfast.core.telemetry import MEASURED, traffic_stream
from holdfast.lifecycle.incidents import incident_stream
from holdfast.lifecycle.inputs import rows_key
from holdfast.lifecycle.pack import shipped
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import newest_release
from holdfast.lifecycle.proof import proved
from holdfast.lifecycle.publishing import present_table, standing
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routines import ROUTINES, due
from holdfast.lifecycle.routing import current_project, judge, rules_for
from holdfast.lifecycle.signing import RELEASE_SIGNED, check_signed
from holdfast.lifecycle.witnessing import witnessed
from holdfast.lifecycle.written import write_report

MAP: Final = "control-map.toml"
RECENT: Final = timedelta(days=30)  # what is older says nothing of how things are watched now
HALF_A_YEAR_S: Final = 183 * 86400  # what logs must be kept for at least (EU AI Act, Art. 19 and 26(6))
YEAR: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What facts are judged on: one release of one model, now."""

    plant: Plant
    project: Project
    release: Digest
    dossier: Dossier
    table: RouteTable | None
    now: datetime


def compliance(plant: Plant, *, framework: str | None = None, out: Path | None = None) -> Reply:
    """Show for each provision of the control map which evidence there is now, and list the gaps.

    Args:
        plant: The control plane.
        framework: Only this one.
        out: Also write it here, as HTML or Markdown by its name.

    Raises:
        InvalidInput: There is no such framework.
        NotFound: No release has been made yet.
        NotVerified: The release's history does not check out.
    """
    mapped = parse_map(shipped(MAP))
    view = view_of(plant)
    lines = stand(mapped, live_of(view), framework)
    missing = [line for line in lines if not line.shown]
    says = f"Evidence for {len(lines) - len(missing)} of {counted(len(lines), 'provision')}, "
    says += f"{counted(len(missing), 'gap')}. "
    says += "This is evidence for whoever judges, and no statement that anything is complied with."
    tables = _tables(mapped, lines)
    if out is not None:
        name = view.project.project.name
        write_report(out, f"Evidence by provision: {name}, {view.now:%Y-%m-%d}", says, tables)
    return Reply(says=says, document=_document(mapped, view, lines), tables=tables)


def view_of(plant: Plant) -> View:
    """Return what there is to judge: the release that answers, else the newest.

    Raises:
        NotFound: No release has been made yet.
        NotVerified: Its history does not check out.
    """
    project = current_project(plant)
    release = standing(plant, project).baseline or newest_release(plant, project)
    if not release:
        raise NotFound("no release has been made yet", remedy="Make one with `holdfast run`.")
    case, _ = proved(plant, Digest(release))
    return View(
        plant=plant,
        project=project,
        release=Digest(release),
        dossier=case.dossier,
        table=present_table(plant, project),
        now=plant.clock.now(),
    )


def live_of(view: View) -> dict[str, Live]:
    """Return everything that is known now: each control's newest word, each guard that stands, each fact."""
    return {**_controls(view), **_watched(view), **_guards(view), **_facts(view)}


def _controls(view: View) -> dict[str, Live]:
    found: dict[str, Live] = {}
    for node in view.dossier.nodes.values():
        for item in node.filed:
            outcome = item.evidence.outcome
            words = f"{outcome} on {node.kind} {short(node.digest)}, {item.time:%Y-%m-%d}"
            found[f"control:{item.evidence.control}"] = Live(shown=outcome is Outcome.MEASURED, words=words)
        for control in node.unfinished:  # begun and never heard of again
            found[f"control:{control}"] = Live(shown=False, words="it was started and has filed nothing")
    return found


def _watched(view: View) -> dict[str, Live]:
    """Return what controls on traffic said last; what lies within the promise is kept beside the release."""
    last = view.plant.last(traffic_stream(view.release), MEASURED)
    if last is None:
        return {}
    fresh = view.now - last.moment < RECENT
    return {
        f"control:{item['control']}": Live(
            shown=fresh and item.get("outcome") == Outcome.MEASURED,
            words=f"{item.get('outcome', 'unknown')} on traffic, {last.moment:%Y-%m-%d}",
        )
        for item in last.body["evidence"]
    }


def _guards(view: View) -> dict[str, Live]:
    guards = view.table.guards if view.table else ()
    words = f"stands in the table of epoch {view.table.epoch}" if view.table else ""
    return {f"guard:{guard.name}": Live(shown=True, words=words) for guard in guards}


def _facts(view: View) -> dict[str, Live]:
    found = {}
    for fact in FACTS:
        try:
            live = fact.check(view)
        except HoldfastError as error:  # what cannot be looked at is not shown
            live = Live(shown=False, words=error.message)
        found[f"fact:{fact.name}"] = live
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that a workspace shows by how it stands: looked at now, not declared."""

    name: str
    says: str
    check: Callable[[View], Live]


def _ledger_holds(view: View) -> Live:
    found = view.plant.ledger.verify(())
    return Live(shown=True, words=f"{found.size} entries hold together")


def _ledger_witnessed(view: View) -> Live:
    said = witnessed(view.plant)
    recent = [entry for entry in said if view.now - entry.moment < RECENT]
    last = f"{said[-1].actor} at {said[-1].moment:%Y-%m-%d}" if said else "no witness has cosigned it"
    return Live(shown=bool(recent), words=last)


def _release_signed(view: View) -> Live:
    if view.plant.last(view.release, RELEASE_SIGNED) is None:
        return Live(shown=False, words="nobody has signed it")
    folder = parse_manifest(view.plant.blobs.get(view.release))
    check_signed(view.plant, view.release, folder)
    return Live(shown=True, words=f"the signature over {len(folder.files)} files verifies")


def _release_approved(view: View) -> Live:
    words = view.dossier.nodes[view.release].authorizations
    persons = sorted(
        {
            word.value.person
            for word in words
            if word.value.action == "approve"
            and word.value.until > view.now
            and view.plant.trust.granted(word.value.person, word.value.role, view.now) is not None
        }
    )
    return Live(shown=bool(persons), words=f"approved by {', '.join(persons) or 'nobody whose word counts now'}")


def _policy_permits(view: View) -> Live:
    rules = rules_for(view.plant, view.project, view.release)
    verdict = judge(view.plant, rules, view.dossier, Action.SERVE)
    if isinstance(verdict, Denial):
        return Live(shown=False, words=f"policy {rules.policy.name} denies: {verdict.reasons[0]}")
    return Live(shown=True, words=f"policy {rules.policy.name} permits it to serve until {verdict.expires:%Y-%m-%d}")


def _owner_named(view: View) -> Live:
    return Live(shown=bool(view.project.project.owner.strip()), words=view.project.project.owner)


def _purpose_declared(view: View) -> Live:
    words = view.project.project.description.strip()
    return Live(shown=bool(words), words=words[:80] or "project.description says nothing")


def _shipped(name: str) -> Callable[[View], Live]:
    def check(view: View) -> Live:
        files = {file.path for file in parse_manifest(view.plant.blobs.get(view.release)).files}
        return Live(shown=name in files, words=f"{name} is {'in' if name in files else 'not in'} the release")

    return check


def _traffic_watched(view: View) -> Live:
    last = view.plant.last(traffic_stream(view.release), MEASURED)
    if last is None:
        return Live(shown=False, words="no traffic of it was ever measured")
    words = f"{last.body['rows']} rows measured on {last.moment:%Y-%m-%d}"
    return Live(shown=view.now - last.moment < RECENT, words=words)


def _rollback_ready(view: View) -> Live:
    previous = standing(view.plant, view.project).previous
    return Live(shown=bool(previous), words=f"{len(previous)} earlier releases to go back to")


def _credentials_expire(view: View) -> Live:
    held = view.table.credentials if view.table else ()
    late = [each.id for each in held if each.expires > view.now + YEAR]
    words = f"{late[0]} does not expire within a year" if late else f"{len(held)} API keys, each with its end"
    return Live(shown=bool(held) and not late, words=words if held else "nobody has an API key")


def _keys_one_role(view: View) -> Live:
    keys = view.plant.trust.keys
    apart = len({key.keyid for key in keys}) == len(keys) > 0
    return Live(shown=apart, words=f"{len(keys)} keys, each of one role; kept {view.plant.custody}")


def _events_kept(view: View) -> Live:
    kept = view.project.retention
    words = f"security logs {kept.security}, ordinary ones {kept.ordinary}; security events with the ledger"
    return Live(shown=seconds(kept.security) >= HALF_A_YEAR_S, words=words)


def _incidents_answered(view: View) -> Live:
    last = next(reversed(view.plant.ledger.stream(incident_stream(view.project))), None)
    if last is None:
        return Live(shown=True, words="there was no incident")
    open_ = last.kind != "incident.closed"
    words = f"the last one is {'open' if open_ else 'closed'} since {last.moment:%Y-%m-%d}"
    return Live(shown=not open_ or view.now - last.moment < RECENT, words=words)


def _residency_kept(view: View) -> Live:
    where = view.project.residency
    if not where.allowed or not where.storage or not where.gateways:
        return Live(shown=False, words="allowed regions, storage and gateways are not all declared")
    strays = where.strays()
    if strays:
        return Live(shown=False, words=f"{', '.join(strays)} is outside {', '.join(where.allowed)}")
    return Live(shown=True, words=f"declared in {where.storage} and {', '.join(where.gateways)}")


def _held(name: str) -> Callable[[View], Live]:
    def check(view: View) -> Live:
        routine = next(each for each in ROUTINES if each.name == name)
        state = due(view.plant, routine)
        return Live(shown=state.last is not None and not state.overdue, words=state.words)

    return check


def _rows_sealed(view: View) -> Live:
    keys = set(view.plant.data_keys())
    recorded = (entry for entry in view.plant.ledger.entries() if entry.kind == RECORDED)
    sources = dict.fromkeys(entry.stream for entry in recorded if entry.body["kind"] == Kind.SOURCE)
    bare = [each for each in sources if rows_key(each) not in keys and view.plant.blobs.has(Digest(each))]
    words = f"{len(sources)} sources lie under data keys of their own, or were erased"
    return Live(shown=bool(sources) and not bare, words=words if not bare else f"{short(bare[0])} lies in the clear")


FACTS: Final = (
    Fact(name="ledger.holds", says="every entry, table and checkpoint of the ledger fits", check=_ledger_holds),
    Fact(name="ledger.witnessed", says="a witness has cosigned within 30 days", check=_ledger_witnessed),
    Fact(name="release.signed", says="the model signature over the release verifies", check=_release_signed),
    Fact(name="release.approved", says="a person whose word counts has approved it", check=_release_approved),
    Fact(name="policy.permits", says="the policy permits it to serve now", check=_policy_permits),
    Fact(name="owner.named", says="somebody answers for the model", check=_owner_named),
    Fact(name="purpose.declared", says="the project says what the model is for", check=_purpose_declared),
    Fact(name="card.shipped", says="the release holds a model card", check=_shipped("card.md")),
    Fact(name="bom.shipped", says="the release holds a bill of materials", check=_shipped("bom.cdx.json")),
    Fact(name="provenance.shipped", says="the release holds its provenance", check=_shipped("provenance.intoto.json")),
    Fact(name="traffic.watched", says="its traffic was measured within 30 days", check=_traffic_watched),
    Fact(name="rollback.ready", says="there is a release to go back to", check=_rollback_ready),
    Fact(name="credentials.expire", says="each API key ends within a year", check=_credentials_expire),
    Fact(name="keys.one-role", says="each key has one role", check=_keys_one_role),
    Fact(name="rows.sealed", says="every source lies encrypted under a data key of its own", check=_rows_sealed),
    Fact(name="events.kept", says="security logs are kept for half a year or longer", check=_events_kept),
    Fact(name="incidents.answered", says="no incident is open for more than 30 days", check=_incidents_answered),
    Fact(name="residency.kept", says="declared regions are allowed ones", check=_residency_kept),
    Fact(name="routine.weekly", says="the weekly review is not overdue", check=_held("weekly")),
    Fact(name="routine.monthly", says="the monthly review is not overdue", check=_held("monthly")),
    Fact(name="routine.quarterly", says="the quarterly review is not overdue", check=_held("quarterly")),
)
"""Every fact that a line of the control map may rest on."""


def _document(mapped: ControlMap, view: View, lines: Sequence[Stood]) -> Mapping[str, Any]:
    residency = view.project.residency
    return {
        "model": view.project.project.name,
        "release": view.release,
        "as_of": view.now.isoformat(),
        "frameworks": [
            {"id": each.id, "name": each.name, "edition": each.edition, "date": each.date} for each in mapped.framework
        ],
        "lines": [
            {
                "framework": each.line.framework,
                "provision": each.line.provision,
                "about": each.line.about,
                "state": "evidence" if each.shown else "gap",
                "because": list(each.because),
                "shown_by": list(each.line.shown_by),
            }
            for each in lines
        ],
        "residency": {
            "allowed": list(residency.allowed),
            "storage": residency.storage,
            "gateways": list(residency.gateways),
            "outside": list(residency.strays()),
        },
        "claims_compliance": False,
    }


def _tables(mapped: ControlMap, lines: Sequence[Stood]) -> tuple[Table, ...]:
    found = []
    for framework in mapped.framework:
        rows = [
            (each.line.provision, each.line.about, "evidence" if each.shown else "GAP", "; ".join(each.because)[:300])
            for each in lines
            if each.line.framework == framework.id
        ]
        if rows:
            title = f"{framework.name} ({framework.edition})"
            found.append(Table(title=title, columns=("provision", "about", "state", "because"), rows=rows))
    return tuple(found)
