"""Read events as a program that knows OpenLineage's own classes does: run by the Python of the public peers.

Every object of an event is made of the class that the standard's generator wrote for it: a field that the class does
not know, or a field that it requires and the event lacks, ends the program with a traceback. Prints a line of JSON: how
many events, and which facets were read.
"""

import json
import sys
import types
import typing
from pathlib import Path
from typing import Any

import attr
from openlineage.client import event_v2, facet_v2

FACETS = {
    "columnLineage": facet_v2.column_lineage_dataset.ColumnLineageDatasetFacet,
    "dataQualityMetrics": facet_v2.data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet,
    "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
    "jobType": facet_v2.job_type_job.JobTypeJobFacet,
    "outputStatistics": facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    "schema": facet_v2.schema_dataset.SchemaDatasetFacet,
    "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
}
OWNERS = {
    event_v2.Job: facet_v2.ownership_job.OwnershipJobFacet,
    event_v2.InputDataset: facet_v2.ownership_dataset.OwnershipDatasetFacet,
    event_v2.OutputDataset: facet_v2.ownership_dataset.OwnershipDatasetFacet,
}
HOLDERS = {"facets", "inputFacets", "outputFacets"}
read = set()


def made(cls: type, value: dict[str, Any]) -> Any:
    """Make an object of a class from JSON, and everything in it."""
    hints = typing.get_type_hints(cls)
    fields = {field.alias: hints[field.name] for field in attr.fields(cls) if field.init}
    given = {}
    for name, held in value.items():
        if name in {"schemaURL", "_schemaURL"}:
            assert held == cls._get_schema(), (held, cls._get_schema())
        elif name in HOLDERS:
            given[name] = {key: facet(cls, key, each) for key, each in held.items()}
        else:
            bare = name.removeprefix("_")
            given[bare] = typed(fields[bare], held)
    return cls(**given)


def facet(holder: type, key: str, value: dict[str, Any]) -> Any:
    """Make a facet by its key, of the class that belongs to what holds it."""
    read.add(key)
    return made(OWNERS[holder] if key == "ownership" else FACETS[key], value)


def typed(hint: Any, value: Any) -> Any:
    """Make a value of a type hint, and refuse one of another type."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        return None if value is None else typed(next(each for each in inside if each is not type(None)), value)
    if origin is list:
        return [typed(inside[0], each) for each in value]
    if origin is dict:
        return {key: typed(inside[1], each) for key, each in value.items()}
    if attr.has(hint):
        return made(hint, value)
    if hint is event_v2.RunState:
        return hint(value)
    assert isinstance(value, hint), (hint, value)
    return value


lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
events = [made(event_v2.RunEvent, json.loads(line)) for line in lines]
print(json.dumps({"events": len(events), "facets": sorted(read)}))
