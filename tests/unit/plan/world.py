"""A small project with an intake, a success contract and a budget, rows to hold it against, and facts to judge by."""

from typing import Final

import numpy as np
import polars as pl

from holdfast.core.artifact import Artifact, Kind, digest_bytes
from holdfast.core.control import Control, run
from holdfast.core.evidence import Evidence, MadeWith, Measure, Outcome, exactly
from holdfast.core.project import Project, parse_project
from holdfast.plan import Held

MADE_WITH: Final = MadeWith(code=digest_bytes(b"code"), configuration="")
SUBJECT: Final = Artifact(kind=Kind.PROJECT, digest=digest_bytes(b"project"), size=7)

HEAD: Final = """
[project]
name = "test"
owner = "Ada Example"
[risk]
sensitivity = "internal"
exposure = "internal"
stakes = "business"
[data]
source = "rows.csv"
format = "csv"
origin = "made for a test"
licence = "none"
[data.columns]
id = { type = "string", use = "id" }
x = { type = "float" }
y = { type = "float" }
site = { type = "category", use = "slice", allowed = ["north", "south"] }
label = { type = "category", use = "label", allowed = ["no", "yes"] }
[train]
recipe = "train.py:train"
positive = "yes"
[gates]
policy = "baseline"
"""
INTAKE: Final = """
[intake]
question = "Who will come back?"
needed = 0.9
ml_needed = { claim = "No rule is good enough.", evidence = "plan.intake/1 plain_best" }
right_data = { claim = "They are about those whom we ask.", evidence = "ingest.contract/1 quarantined_share" }
measurable = { claim = "Each target can be read.", evidence = "plan.intake/1 metrics_computable" }
"""
SUCCESS: Final = """
[success.technical]
accuracy = { source = "assess.quality/1 balanced_accuracy", at_least = 0.9 }
[success.business]
savings = { source = "data:x", at_least = 1 }
[success.operational]
error_rate = { source = "watch.sli/1 error_rate", at_most = 0.01 }
"""
BUDGET: Final = """
[budget]
latency_p95_ms = 10
rows_per_s = 100
cost_per_million_rows = 1
cpu_hour_price = 0.36
compliance = ["licence", "no-personal-values", "fairness-measured", "confined-training"]
max_inputs = 40
"""


def project(text: str = HEAD + INTAKE + SUCCESS + BUDGET, **changed: str) -> Project:
    """A project; `risk` lines and others are replaced by name."""
    for key, value in changed.items():
        before = next(line for line in text.splitlines() if line.startswith(f"{key} = "))
        text = text.replace(before, f"{key} = {value}", 1)
    return parse_project(text.encode())[0]


def rows(n: int = 400, *, signal: float = 1.0, leak: bool = False) -> pl.DataFrame:
    """Rows whose label follows two columns together and neither of them alone."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=n), rng.normal(size=n)
    yes = signal * (x + y) + rng.normal(scale=0.1, size=n) > 0
    return pl.DataFrame(
        {
            "id": [str(i) for i in range(n)],
            "x": x,
            "y": np.where(yes, 1.0, 0.0) if leak else y,
            "site": ["north" if i % 2 else "south" for i in range(n)],
            "label": np.where(yes, "yes", "no"),
        }
    )


def measured(control: str, *measures: Measure) -> Evidence:
    """Evidence of a control that measured."""
    return Evidence(
        control=control,
        subject=SUBJECT.digest,
        kind=Kind.PROJECT,
        outcome=Outcome.MEASURED,
        made_with=MADE_WITH,
        measures=measures,
    )


def held(declared: Project | None = None, table: pl.DataFrame | None = None, *, aside: float = 0.01) -> Held:
    """What an intake is held against."""
    contract = measured("ingest.contract/1", exactly("quarantined_share", aside, n=100))
    return Held(
        project=declared or project(),
        rows=table if table is not None else rows(),
        evidence={contract.control: contract},
    )


def evidence(control: Control[Held], seen: Held) -> Evidence:
    """The evidence that a control leaves."""
    return run(control, seen, SUBJECT, MADE_WITH)
