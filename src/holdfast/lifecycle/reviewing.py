"""`holdfast data review`: outliers that wait for a person, shown on record, and decided by a named one for a reason.

Who may is the access rules' word (`data.review`). Values are in no entry and in no list: they are shown one case at a
time, and each look is on record before it is answered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from holdfast.core.artifact import Artifact, Digest, Kind, canonical, digest_json, parse_manifest
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.ledger import Draft
from holdfast.core.outliers import Decision, Subject, check_action
from holdfast.core.seal import OUTLIER
from holdfast.core.versions import stream_of
from holdfast.lifecycle.decided import DECIDED, InForce, decisions
from holdfast.lifecycle.inputs import check_reason, rows_key
from holdfast.lifecycle.lineage import parent_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import project_stream
from holdfast.lifecycle.trail import READ

if TYPE_CHECKING:
    from holdfast.ingest.review import Case

SHOWN: Final = 50  # cases in the table for people; the document has all
_PREFIX: Final = 12  # digits of the data set's digest that a case's name begins with


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """The outliers of one ingest, and what has been decided about each."""

    name: str
    dataset: Digest
    source: Digest
    cases: "Sequence[Case]"
    decided: Mapping[tuple[str, str], InForce]

    def id_of(self, case: "Case") -> str:
        """Return the name of a case: the rows it is of, its row and its column."""
        return f"{self.dataset.removeprefix('sha256:')[:_PREFIX]}:{case.row}:{case.column}"

    def word_on(self, case: "Case") -> InForce | None:
        """Return what was decided about a case."""
        return self.decided.get((case.print, case.column))

    def named(self, wanted: str) -> "Case":
        """Return the case of this name.

        Raises:
            NotFound: There is none.
        """
        for case in self.cases:
            if self.id_of(case) == wanted:
                return case
        raise NotFound(f"there is no case {wanted[:120]!r}", expected="the name of one in `holdfast data review list`")


def review_list(plant: Plant, *, data: str = "", decided: bool = False) -> Reply:
    """List the outliers of an ingest that wait for a person, without their values.

    Args:
        plant: The control plane.
        data: The beginning of the data set's digest; the newest ingest if left out.
        decided: Whether to list those that were decided, too.

    Raises:
        NotFound: There is no such data set of this project, or it was erased.
        NotVerified: A decision on record does not verify.
    """
    batch = _batch(plant, data)
    lines = [_line(batch, case) for case in batch.cases if case.waits]
    waiting = [line for line in lines if not line["decision"]]
    listed = lines if decided else waiting
    rows = [
        (str(each["case"]), str(each["verdict"]), "; ".join(each["words"]), "yes" if each["set_aside"] else "no",
         str(each["decision"]))
        for each in listed[:SHOWN]
    ]  # fmt: skip
    columns = ("case", "taken for", "because", "set aside", "decided")
    says = f"{counted(len(waiting), 'value waits', 'values wait')} for a decision in {short(batch.dataset)}"
    says += f"; {len(lines) - len(waiting)} were decided." if len(lines) > len(waiting) else "."
    document = {"dataset": batch.dataset, "waiting": len(waiting), "cases": listed}
    return Reply(says=says, document=document, tables=(Table(title="To review", columns=columns, rows=rows),))


def review_show(plant: Plant, *, case: str) -> Reply:
    """Show one outlier with its value, why it lies out, and what it may have been meant to be; on record.

    Raises:
        NotFound: There is no such case, or its rows were erased.
    """
    from holdfast.ingest.quarantine import shown

    batch = _batch(plant, case.partition(":")[0])
    one = batch.named(case)
    body = {"commit": "", "dataset": batch.dataset, "purpose": f"review {case}"[:200], "reason": ""}
    plant.ledger.append([Draft(kind=READ, actor=plant.actor, stream=stream_of(batch.name), body=body)])
    line = _line(batch, one) | {"value": shown(one.value), "suggested": shown(one.suggested)}
    rows = [(name.replace("_", " "), _said(value)) for name, value in line.items() if value not in ("", [])]
    meant = f"; it may have been meant to be {line['suggested']}" if one.suggested else ""
    says = f"Row {one.row}, {one.column}: {line['value']!r} is taken for {one.verdict}{meant}."
    return Reply(says=says, document=line, tables=(Table(title="Case", columns=("what", "says"), rows=rows),))


def review_decide(plant: Plant, *, case: str, decision: str, reason: str, value: str | None = None) -> Reply:
    """Decide about one outlier: keep the value, correct it, or keep its row out; applied at the next ingest, for good.

    Raises:
        InvalidInput: There is no such decision, no reason, or a value where none is meant.
        NotFound: There is no such case, or its rows were erased.
    """
    from holdfast.ingest.outliers import Why

    check_reason(reason)
    action = check_action(decision, value)
    batch = _batch(plant, case.partition(":")[0])
    one = batch.named(case)
    if action == "keep" and Why.OUT_OF_CONTRACT in one.reasons:
        words = "the contract allows no such value, whoever wants to keep it"
        raise InvalidInput(words, place=case, expected="correct or quarantine; or another contract")
    plant.unlock()
    salt = plant.entropy.token(16).hex()  # so that the document's digest, which is on record, tells nobody the value
    subject = Subject(print=one.print, column=one.column, value=one.value, replacement=value or "", salt=salt)
    said = Decision(
        data=batch.name,
        dataset=batch.dataset,
        source=batch.source,
        row=one.row,
        column=one.column,
        action=action,
        document=plant.sealed(rows_key(batch.source)).put(canonical(subject)),
        by=plant.actor,
        reason=reason,
        time=plant.clock.now(),
    )
    body = {
        "envelope": plant.seal(said, OUTLIER, "ingest"),
        "decision": digest_json(said),
        "dataset": batch.dataset,
        "action": action,
        "row": one.row,
        "column": one.column,
        "reason": reason,
    }
    plant.ledger.append([Draft(kind=DECIDED, actor=plant.actor, stream=stream_of(batch.name), body=body)])
    left = sum(each.waits and batch.word_on(each) is None and each is not one for each in batch.cases)
    says = (
        f"Row {one.row}, {one.column}: {_DONE[action]}, by {plant.actor}. It counts from the next run on. {left} wait."
    )
    return Reply(says=says, document={"case": case, "decision": action, "by": plant.actor, "waiting": left})


_DONE: Final = {
    "keep": "the value is kept",
    "correct": "the value is corrected",
    "quarantine": "the row is kept out",
}


def _line(batch: _Batch, case: "Case") -> dict[str, Any]:
    from holdfast.ingest.outliers import WORDS

    word = batch.word_on(case)
    return {
        "case": batch.id_of(case),
        "row": case.row,
        "column": case.column,
        "verdict": str(case.verdict),
        "reasons": [str(why) for why in case.reasons],
        "words": [WORDS[why] for why in case.reasons],
        "set_aside": case.set_aside,
        "decision": word.decision.action if word else "",
        "decided_by": word.decision.by if word else "",
        "because": word.decision.reason if word else "",
    }


def _said(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _batch(plant: Plant, data: str) -> _Batch:
    from holdfast.ingest.review import CASES, parse

    name = current_project(plant).project.name
    dataset, quarantine = _ingested(plant, data)
    folder = parse_manifest(plant.blobs.get(quarantine.digest))
    there = {file.path: file.digest for file in folder.files}
    cases = parse(plant.blobs.get(Digest(there[CASES]))) if CASES in there else ()
    decided = {(each.subject.print, each.subject.column): each for each in decisions(plant, name)}
    source = parent_of(plant, dataset.digest, Kind.SOURCE).digest
    return _Batch(name=name, dataset=dataset.digest, source=Digest(source), cases=cases, decided=decided)


def _ingested(plant: Plant, data: str) -> tuple[Artifact, Artifact]:
    """Return a data set and the quarantine of the same ingest, the newest that fits."""
    wanted = data.removeprefix("sha256:")
    for entry in reversed(plant.ledger.stream(project_stream(current_project(plant)))):
        if entry.kind not in {"stage.finished", "stage.reused"} or entry.body["stage"] != "ingest":
            continue
        made = {
            Kind(item["kind"]): Artifact(kind=Kind(item["kind"]), digest=Digest(item["digest"]), size=item["size"])
            for item in entry.body["artifacts"]
        }
        if made[Kind.DATASET].digest.removeprefix("sha256:").startswith(wanted):
            return made[Kind.DATASET], made[Kind.QUARANTINE]
    raise NotFound("there is no such data set of this project", place=data[:80], remedy="`holdfast run` makes one.")
