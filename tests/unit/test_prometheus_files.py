"""MON-04: the shipped rules and the part of a configuration, read as Prometheus would, against the table of metrics."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]

from holdfast.core.conventions import (
    EVENT_FIELDS,
    EVENTS,
    METRICS,
    RESOURCE_ATTRIBUTES,
    SPAN_ATTRIBUTES,
    SPANS,
    check_sample,
)
from holdfast.core.errors import InvalidInput

HERE: Final = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES: Final[dict[str, Any]] = yaml.safe_load((HERE / "holdfast.rules.yml").read_text(encoding="utf-8"))
SCRAPE: Final[dict[str, Any]] = yaml.safe_load((HERE / "scrape.yml").read_text(encoding="utf-8"))
EVERY: Final = [rule for group in RULES["groups"] for rule in group["rules"]]
FUNCTIONS: Final = {"sum", "max", "min", "rate", "increase", "histogram_quantile"}
TOKEN: Final = re.compile(
    r"\s*(?:(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?P<number>\d+(?:\.\d+)?)|(?P<mark>==|[(){},/+<>])"
    r"|\[(?P<range>\d+[smhd])\]|=\"(?P<text>[^\"]*)\")"
)


def tokens(expression: str) -> list[tuple[str, str]]:
    """The words of an expression; whatever is none raises."""
    found, at = [], 0
    while at < len(expression.rstrip()):
        match = TOKEN.match(expression, at)
        assert match is not None, expression[at:]
        kind = str(match.lastgroup)
        found.append((kind, match[kind]))
        at = match.end()
    return found


class Reader:
    """Reads the part of PromQL that the rules use, and collects which metrics stand there, with which labels."""

    def __init__(self, expression: str) -> None:
        self.rest, self.selected = tokens(expression), list[tuple[str, frozenset[str], str]]()

    def take(self, *expected: str) -> str:
        kind, word = self.rest.pop(0)
        assert not expected or word in expected or kind in expected, (word, expected)
        return word

    def peek(self) -> str:
        return self.rest[0][1] if self.rest else ""

    def whole(self) -> "Reader":
        self.binary()
        assert not self.rest, self.rest
        return self

    def binary(self) -> None:
        self.unary()
        while self.peek() in {"/", "+", "<", ">", "==", "and"}:
            self.take()
            self.unary()

    def unary(self) -> None:
        kind, word = self.rest[0]
        if word == "(":
            self.take("(")
            self.binary()
            self.take(")")
        elif kind == "number":
            self.take("number")
        elif word in FUNCTIONS:
            self.function()
        else:
            self.selector()

    def labels(self) -> list[str]:
        self.take("(")
        found = [self.take("name")]
        while self.peek() == ",":
            self.take(",")
            found.append(self.take("name"))
        self.take(")")
        return found

    def function(self) -> None:
        function, by = self.take("name"), list[str]()
        if self.peek() == "by":
            self.take("by")
            by = self.labels()
        before = len(self.selected)
        self.take("(")
        self.binary()
        while self.peek() == ",":
            self.take(",")
            self.binary()
        self.take(")")
        for number in range(before, len(self.selected)):
            name, labels, ranged = self.selected[number]
            if function in {"rate", "increase"}:
                assert ranged == "range", f"{function} of {name} without a range"
                assert name.endswith(("_total", "_bucket")), f"{function} of {name}, which is no counter"
                self.selected[number] = (name, labels, "")
            self.selected[number] = (name, self.selected[number][1] | set(by), self.selected[number][2])

    def selector(self) -> None:
        name, labels, ranged = self.take("name"), set[str](), ""
        if self.peek() == "{":
            self.take("{")
            labels.add(self.take("name"))
            self.take("text")
            self.take("}")
        if self.rest and self.rest[0][0] == "range":
            ranged = "range" if self.take("range") else ""
        self.selected.append((name, frozenset(labels), ranged))


def known() -> dict[str, set[str]]:
    """Every name that an expression may hold, with its labels and those that a scrape adds."""
    found = {}
    for metric in METRICS:
        for suffix, more in (
            (("_bucket", {"le"}), ("_sum", set()), ("_count", set())) if metric.kind == "histogram" else (("", set()),)
        ):
            found[metric.name + suffix] = {*metric.labels, *more, "instance", "job", "machine"}
    for rule in EVERY:
        if "record" in rule:
            found[rule["record"]] = {"model", "release", "instance", "guard"}
    return found


@pytest.mark.requirement("MON-04", by="holdfast.core.conventions:METRICS")
@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: str(rule.get("record") or rule.get("alert")))
def test_each_rule_reads_and_names_metrics_that_gateways_have(rule: dict[str, Any]) -> None:
    """With labels they have; rates only of counters; nothing left ranged at the end."""
    reader = Reader(rule["expr"]).whole()
    assert reader.selected
    for name, labels, ranged in reader.selected:
        assert name in known(), name
        assert labels <= known()[name], (name, labels)
        assert not ranged, name
    if "record" in rule:
        assert re.fullmatch(r"[a-z]+:holdfast_[a-z_]+:[a-z0-9_]+", rule["record"])  # level:metric:operations
        assert set(rule) == {"record", "expr"}
    else:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]


@pytest.mark.requirement("MON-04", by="holdfast.core.conventions:METRICS")
def test_a_rule_about_a_metric_that_is_none_would_be_found() -> None:
    """The check of the rules is one: a misspelt name, a label that is none and a rate of a gauge do not pass."""
    assert "holdfast_request_total" not in known()
    for wrong in (
        "rate(holdfast_ready[5m])",
        "rate(holdfast_requests_total)",
        "sum by (model (x)",
        "max(holdfast_ready",
    ):
        with pytest.raises((AssertionError, IndexError)):
            Reader(wrong).whole()


@pytest.mark.requirement("MON-04", by="holdfast.core.conventions:METRICS")
def test_service_levels_are_recorded_and_alerted_on() -> None:
    """Throughput, errors, response time and resources; alerts say whom to wake."""
    recorded = {rule["record"] for rule in EVERY if "record" in rule}
    assert {word.split(":")[1] for word in recorded} >= {
        *("holdfast_requests", "holdfast_errors", "holdfast_request_seconds", "holdfast_cpu"),
    }
    used = {name for rule in EVERY if "alert" in rule for name, *_ in Reader(rule["expr"]).whole().selected}
    assert used & recorded


@pytest.mark.requirement("MON-04", by="holdfast.core.conventions:METRICS")
def test_the_configuration_relabels_and_keeps_every_metric_there_is() -> None:
    """Names pass by what is kept; the rules are named, an alert manager is told, and longer storage is written to."""
    (job,) = SCRAPE["scrape_configs"]
    (keep,) = [rule for rule in job["metric_relabel_configs"] if rule["action"] == "keep"]
    assert all(re.fullmatch(keep["regex"], metric.name) for metric in METRICS)
    assert not re.fullmatch(keep["regex"], "python_info")
    (machine,) = job["relabel_configs"]
    assert re.fullmatch(machine["regex"], "gateway:8080")
    assert SCRAPE["rule_files"] == ["holdfast.rules.yml"]
    assert SCRAPE["alerting"]["alertmanagers"]
    written = SCRAPE["remote_write"][0]["write_relabel_configs"][0]["regex"]
    assert all(re.fullmatch(written, str(rule["record"])) for rule in EVERY if "record" in rule)


@pytest.mark.requirement("MON-02", by="holdfast.core.conventions:check_sample")
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("holdfast_request_total", ("model", "release")),
        ("holdfast_requests_total", ("release", "model")),
        ("holdfast_requests_total", ("model", "release", "client")),
        ("holdfast_request_seconds", ("model", "release")),
        ("holdfast_request_seconds_bucket", ("model", "release")),
    ],
)
def test_samples_that_do_not_conform_are_refused(name: str, labels: tuple[str, ...]) -> None:
    """Another name, order, label or part of a histogram."""
    with pytest.raises(InvalidInput):
        check_sample(name, labels)
    check_sample("holdfast_request_seconds_bucket", ("model", "release", "le"))
    check_sample("holdfast_ready", ())


@pytest.mark.requirement("MON-02", by="holdfast.core.conventions:METRICS")
def test_the_reference_names_all_of_the_table() -> None:
    """Every metric, event and attribute, with its labels."""
    page = (HERE.parents[1] / "docs" / "reference" / "telemetry.md").read_text(encoding="utf-8")
    for metric in METRICS:
        assert f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels) or '—'} | {metric.says} |" in page
    for pattern, says in EVENTS:
        assert f"| `{pattern.replace('|', chr(92) + '|')}` | {says} |" in page
    for name in (*EVENT_FIELDS, *SPAN_ATTRIBUTES, *RESOURCE_ATTRIBUTES, *SPANS):
        assert f"`{name}`" in page
