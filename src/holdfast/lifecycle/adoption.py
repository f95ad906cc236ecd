"""Adoption: what a team runs already is taken in as it is, with an honest list of what nobody knows about it.

Each model lies in quarantine like any other that comes from outside; its tier is `adopted`, whatever its tracker says.
The folder it lies in is read, and nothing else.
"""

from pathlib import Path
from typing import Any

from holdfast.core.errors import NotFound, UsageError
from holdfast.core.evidence import Evidence
from holdfast.lifecycle.carrying import carry_out
from holdfast.lifecycle.foreign import CONFIGURATION, workspace
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.quarantine import state, take
from holdfast.lifecycle.reply import Progress, Reply, Table, counted, short
from holdfast.lifecycle.trackers import Found, models_in
from holdfast.lifecycle.verbs import newest_on


def adopt(plant: Plant, *, path: Path) -> Reply:
    """Take in every model of an MLflow folder, or of a folder of models; the folder is only read.

    Raises:
        UsageError: This is no folder.
        NotFound: No model lies in it.
        InvalidInput: It holds too much to look at, or a model that holds links.
        SandboxUnavailable: No sandbox can be had to scan in.
    """
    if not path.is_dir():
        raise UsageError("this is no folder", place=str(path), expected="an MLflow folder, or a folder of models")
    found = models_in(path)
    if not found:
        raise NotFound("no model lies here", place=str(path), expected="MLmodel files, or files named as models are")
    plant.unlock()
    adopted = [_adopt(plant, each) for each in found]
    shown = ("name", "tracker", "digest", "state", "findings")
    rows = [(*(str(each[key]) for key in shown), ", ".join(each["missing"])) for each in adopted]
    columns = ("model", "tracker", "digest", "state", "scan findings", "missing")
    says = (
        f"{counted(len(adopted), 'model')} adopted, in quarantine. What is missing of each is listed: bring it, "
        "and say where each comes from with `holdfast intake record`."
    )
    return Reply(says=says, document={"models": adopted}, tables=(Table(title="Adopted", columns=columns, rows=rows),))


def _adopt(plant: Plant, found: Found) -> dict[str, Any]:
    from holdfast.release.foreign import SWEEP, Examined
    from holdfast.release.foreign.lineage import LINEAGE, TIER, missing

    plant.tell(Progress(stage="adopt", state="started", words=found.name))
    subject = take(plant, found.path, "model")
    known: dict[str, Evidence] = newest_on(plant, subject.digest)
    if LINEAGE.name not in known:
        carry_out(plant, LINEAGE, found.claims, subject, configuration=CONFIGURATION)
    scan = known.get(SWEEP.name)
    if scan is None:
        with workspace(plant) as ws:
            scan = carry_out(plant, SWEEP, Examined(ws=ws, subject=subject), subject, configuration=CONFIGURATION)
    return {
        "name": found.name,
        "path": str(found.path),
        "subject": subject.digest,
        "digest": short(subject.digest),
        "tier": TIER,
        "tracker": found.claims.tracker,
        "state": state(plant, subject.digest),
        "claimed": {name: words for name, words in found.claims.answers.items() if words},
        "missing": list(missing(found.claims)),
        "unread": list(found.claims.unread),
        "scan": str(scan.outcome),
        "findings": len(scan.findings),
    }
