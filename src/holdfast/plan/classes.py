"""plan.sensitivity/1: the class of every column, of the data set and of the model, on record and signed."""

from typing import Final

from holdfast.core.control import Report
from holdfast.core.evidence import exactly
from holdfast.core.planning import CLASSES
from holdfast.core.project import Project
from holdfast.core.sensitivity import WITHHELD, of_columns, of_dataset, of_model, withheld

NAME: Final = "plan.sensitivity/1"


def measure(project: Project) -> Report:
    """Return how sensitive each thing is, as facts that policies may ask for, and as ranks from 0."""
    columns = of_columns(project)
    facts = {f"column:{name}": each.value for name, each in columns.items()}
    facts |= {"dataset": of_dataset(project).value, "model": of_model(project).value}
    measures = (
        exactly("columns", len(columns)),
        exactly("columns_withheld", len(withheld(project))),
        exactly("columns_sensitive", sum(1 for each in columns.values() if each in WITHHELD)),
        exactly("dataset_rank", CLASSES.index(of_dataset(project))),
        exactly("model_rank", CLASSES.index(of_model(project))),
    )
    return Report(measures=measures, facts=facts)
