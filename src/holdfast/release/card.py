"""The model card: what the model is for, how good it is and where it is not, for a person who must decide to use it.

Markdown, written from the same material as the bill of materials. Every figure comes from evidence, with its interval
and its sample; what was not measured is said to be not measured.
"""

from collections.abc import Iterable, Iterator

from holdfast.core.artifact import Kind
from holdfast.core.evidence import Measure, figure
from holdfast.core.schema import Use, numbers_of, texts_of
from holdfast.release.material import SCAN_CONTROL, TIER_CONTROL, Material

NOT_MEASURED = "Not measured."


def card(material: Material) -> bytes:
    """Return the model card."""
    sections = (
        _head(material),
        _data(material),
        _inputs(material),
        _section("Quality", _table(material.measures("assess.quality/1")), _versus_baseline(material)),
        _section("Slices", _table(material.measures("assess.slices/1"))),
        _section("Fairness", _fairness(material)),
        _section("Robustness", _table(material.measures("assess.robustness/1"))),
        _section("Latency", _table(material.measures("assess.latency/1"))),
        _limits(material),
        _made(material),
    )
    return ("\n\n".join(sections) + "\n").encode()


def _plain(text: object) -> str:
    """Return text that somebody else wrote so that it cannot become markup, or break a table."""
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").replace("`", "'")
    return " ".join(escaped.replace("[", "&#91;").split())


def _section(title: str, *paragraphs: str) -> str:
    return "\n\n".join([f"## {title}", *(paragraph for paragraph in paragraphs if paragraph)])


def _rows(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _table(measures: Iterable[Measure]) -> str:
    rows = [(_plain(m.name), f"{figure(m.value)}{_unit(m)}", *_certainty(m)) for m in measures]
    return _rows(("measure", "value", "95 % interval", "sample"), rows) if rows else NOT_MEASURED


def _certainty(measure: Measure) -> tuple[str, str]:
    """Return interval and sample, or that there is nothing uncertain about a count."""
    exact = measure.n == 1 and measure.low == measure.high
    return ("exact", "") if exact else (f"{figure(measure.low)} to {figure(measure.high)}", str(measure.n))


def _unit(measure: Measure) -> str:
    return "" if measure.unit == "1" else f" {_plain(measure.unit)}"


def _head(material: Material) -> str:
    about, risk = material.project.project, material.project.risk
    tier = material.fact("plan.tier/1", "tier")
    classes = ", ".join(map(_plain, material.signature.classes))
    positive = _plain(material.project.train.positive)
    control = f"{', regulated' if risk.regulated else ''}{f'; control tier {_plain(tier)}' if tier else ''}"
    lines = [
        f"# Model card: {_plain(about.name)}",
        "",
        _plain(about.description) or "The owner gave no description.",
        "",
        f"- Predicts: {_plain(material.project.label)}, one of {classes}; the score is the probability of {positive}",
        f"- Owner: {_plain(about.owner)}",
        f"- Sensitivity {risk.sensitivity}, exposure {risk.exposure}, stakes {risk.stakes}{control}",
        f"- Model: `{material.model.digest}`",
        "- Use it only for what is described here: any other use has not been assessed.",
    ]
    return "\n".join(lines)


def _data(material: Material) -> str:
    declared = material.project.data
    contract = {measure.name: measure for measure in material.measures("ingest.contract/1")}
    lines = [f"- Origin: {_plain(declared.origin)}", f"- Licence: {_plain(declared.licence)}"]
    lines += [f"- {artifact.kind}: `{artifact.digest}`" for artifact in material.of(Kind.SOURCE, Kind.DATASET)]
    if {"rows_in", "rows_out", "rows_quarantined"} <= contract.keys():
        counts = (contract[name].value for name in ("rows_in", "rows_out", "rows_quarantined"))
        lines.append("- Rows: {:.0f} read, {:.0f} used, {:.0f} quarantined".format(*counts))
    return _section("Data", "\n".join(lines))


def _inputs(material: Material) -> str:
    signature = material.signature
    rows = [
        (
            _plain(f.name),
            "whole number" if f.whole is True else "number",
            "" if f.minimum is None else f"{f.minimum:g}",
            "" if f.maximum is None else f"{f.maximum:g}",
        )
        for f in (signature.inputs[place] for place in numbers_of(signature))
    ]
    words = (
        f"{len(signature.inputs)} inputs, 32-bit floats; the gateway refuses values outside a range, and fractions "
        "where whole numbers belong."
    )
    for text in texts_of(signature):
        made = f"{text.hashing.buckets} of them are a text's {text.hashing.grams}, hashed"
        words += f" {made}: {_plain(text.name)}, up to {text.hashing.most_characters} characters."
    return _section("Inputs", words, _rows(("input", "type", "minimum", "maximum"), rows))


def _versus_baseline(material: Material) -> str:
    measures = material.measures("assess.baseline/1")
    return f"Against the linear model trained beside it:\n\n{_table(measures)}" if measures else ""


def _fairness(material: Material) -> str:
    protected = material.project.columns_of(Use.PROTECTED)
    if not protected:
        return "The project declares no protected column, so that no gap between groups could be measured."
    words = f"Between the groups of {', '.join(map(_plain, protected))}:"
    return f"{words}\n\n{_table(material.measures('assess.fairness/1'))}"


def _limits(material: Material) -> str:
    quality = material.measures("assess.quality/1")
    lines = [
        "- Drift between training data and traffic is watched, not prevented; a drifted model's answers may be wrong.",
        "- Robustness was probed by a bounded search: a stronger attacker may succeed where it did not.",
        "- A clean scan says what the file holds, not what the model has learned; backdoors cannot be excluded.",
    ]
    if quality:
        sample = max(measure.n for measure in quality)  # some measures rest on a part of the rows, counts on none
        lines.insert(0, f"- Quality rests on {sample} test rows; what is rarer than one in {sample} was not seen.")
    lines += [f"- {finding}" for finding in _findings(material)]
    return _section("Limits", "\n".join(lines))


def _findings(material: Material) -> Iterator[str]:
    """Yield every finding on the model itself, worst news included."""
    for control, evidence in sorted(material.latest.items()):
        for finding in evidence.findings:
            if evidence.kind is Kind.MODEL:
                yield f"{control}, {finding.severity}: {_plain(finding.message)} ({_plain(finding.place)})"


def _outside(material: Material) -> Iterator[str]:
    """Yield what is known of a model that was trained elsewhere, and what is not."""
    foreign = ", ".join(f"`{artifact.digest}`" for artifact in material.of(Kind.FOREIGN))
    tier = _plain(material.fact(TIER_CONTROL, "tier"))
    yield f"- **Not trained here**: taken in from outside as {foreign}, tier {tier}"
    yield f"- Unknown of its training: {_plain(material.fact(TIER_CONTROL, 'unknown'))}"
    yield "- The rows above are those it was assessed on here; nobody can say that it never saw them before"
    for name in ("source", "licence", "method", "validation"):
        words = material.fact("release.origin/1", name)
        yield f"- Its {name}, as a person has stated it: {_plain(words) or 'not stated'}"
    yield f"- Conversion: {_plain(material.fact('release.conversion/1', 'way'))}"


def _made(material: Material) -> str:
    train, sandbox = material.project.train, material.fact("train.sandbox/1", "tier") or material.project.train.tier
    recipe = f"- Recipe `{_plain(train.recipe)}`, seed {train.seed}, in a sandbox of tier {_plain(sandbox)}"
    lines = [
        *(_outside(material) if material.outside else (recipe,)),
        *(f"- {_plain(name)} = {_plain(value)}" for name, value in sorted(train.params.items())),
        f"- Operators: {_plain(material.fact(SCAN_CONTROL, 'operators'))}",
        *(
            f"- {artifact.kind}: `{artifact.digest}`"
            for artifact in material.of(Kind.RECIPE, Kind.FEATURES, Kind.SPLIT)
        ),
        f"- Code `{_plain(material.built.code)}`, builder {_plain(material.built.builder)}, begun {material.started}",
        f"- {len(material.built.libraries)} libraries, listed with everything else in `bom.cdx.json`",
        "- Inputs, parameters and builder as SLSA provenance in `provenance.intoto.json`",
    ]
    return _section("How it was made", "\n".join(lines))
