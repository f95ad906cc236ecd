"""The project file: `holdfast.toml`, parsed once, strictly, with the line of whatever is wrong."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.endpoint import Count, Positive, Serving, Share, Text, durations, faults
from holdfast.core.errors import InvalidInput, InvalidProject
from holdfast.core.needs import Needs, check_needs
from holdfast.core.planning import Budget, Intake, Success, success_faults
from holdfast.core.policy import seconds
from holdfast.core.ports import Tier
from holdfast.core.resilience import Resilience, check_resilience
from holdfast.core.schema import Column, Use, check_column
from holdfast.core.secret import is_name

MAX_PROJECT: Final = 1 << 20  # bytes; a thousand documented columns take a fifth of it
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_PATH: Final = re.compile(r"`\$((?:\.[^.`\[\]]+|\[[^\]]*\])*)`")
_RECIPE: Final = re.compile(r"[\w./-]+\.py:[A-Za-z_]\w*")
_OUTSIDE: Final = re.compile(r"outside:[0-9a-f]{12,64}")
_UNKNOWN: Final = re.compile(r"unknown field `([^`]+)`")
_TOML_LINE: Final = re.compile(r"at line (\d+)")
_COLUMN: Final = "$.data.columns[...]"  # how msgspec points into a table of columns: it does not say at which

Seed: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 53)]  # exact in every JSON number
Part: TypeAlias = Annotated[float, Meta(gt=0, lt=1)]  # a share that leaves something on either side


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who answers for what: a model without an owner is refused (REG-07)."""

    name: str
    owner: str
    description: str = ""


class Risk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What could go wrong, and for whom; from this follows the control tier."""

    sensitivity: Literal["synthetic", "public", "internal", "confidential", "personal"]
    exposure: Literal["none", "internal", "partner", "public"]
    stakes: Literal["experimental", "business", "money", "safety"]
    regulated: bool = False
    work: Literal["product", "throwaway", "exploratory", "offline"] = "product"


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where rows come from and what each column must be."""

    source: Text
    format: Literal["csv", "parquet"]
    origin: Text  # who made the data and how it came here
    licence: Text
    columns: dict[str, Column]
    null_literals: tuple[str, ...] = ("NULL", "null", "N/A", "")
    timestamp_formats: tuple[str, ...] = ()
    max_quarantined_share: Share = 0.2  # above it the batch itself is suspect


class Transform(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One derived feature: a named transform of declared columns."""

    name: str
    transform: Literal["log1p", "square", "ratio", "difference"]
    of: tuple[str, ...]


class Features(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which columns a model sees; empty `columns` means every column of use `feature`."""

    columns: tuple[str, ...] = ()
    transforms: tuple[Transform, ...] = ()


class Train(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the model is made."""

    recipe: str  # file.py:function, or outside:DIGEST of a model that the intake has admitted
    authors: tuple[Text, ...] = ()  # who wrote it, where no history of the folder says so: "Name <address>"
    positive: Text  # the label value whose probability is the score
    seed: Seed = 0
    test_share: Part = 0.25
    validation_share: Part = 0.15
    tier: Tier = Tier.PROCESS
    params: dict[str, int | float | str | bool] = {}
    secrets: tuple[Text, ...] = ()  # names; the recipe gets those of them that it was granted, as files

    @property
    def outside(self) -> str:
        """The beginning of the digest of a model from outside in a recipe's place; empty where none stands there."""
        kind, _, digest = self.recipe.partition(":")
        return digest if kind == "outside" else ""


class Gates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which policy decides: a shipped one by name, or a file."""

    policy: Text


class Slo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the service promises; a breach rolls back."""

    latency_p95_ms: Positive = 200.0
    error_rate: Share = 0.01
    drift_psi: Positive = 0.25  # per feature, on a window of at least `min_window` rows
    min_window: Count = 200


class Rollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a candidate takes over from the baseline."""

    steps: tuple[Share, ...] = (0.1, 0.5, 1.0)
    min_requests: Count = 100
    alpha: Part = 0.02  # chance of a false rollback under continuous checking
    slower: Annotated[float, Meta(ge=1, le=100)] = 2.0  # times the baseline's latency quantiles that it may take
    score_shift: Part = 0.2  # by which a candidate's share of high scores may move beyond the baseline's
    attributes: tuple[Text, ...] = ()  # that calls may declare, and segments be made of
    drill_every: str = "31d"  # between two drills of the rollback by `watch`; empty for none


class Tests(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The project's own tests: files of plain `test_…` functions, run confined before a release is let out."""

    unit: tuple[Text, ...] = ()
    integration: tuple[Text, ...] = ()  # each may take the folder of the release


class Respond(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What people read when something is wrong."""

    runbooks: tuple[Text, ...] = ()  # files of the project, in Markdown


class Dependencies(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which advisories stand in the way, how old their snapshot may be, and how soon what has a fix is patched."""

    refuse: Literal["low", "medium", "high", "critical"] = "high"  # this severity and worse: fixed or accepted
    snapshot_max_age: str = "14d"
    accepted_longest: str = "90d"  # for which a statement of OpenVEX counts
    runtime_max_age: str = "365d"  # of the interpreter, since it was built
    patch_within: dict[Literal["low", "medium", "high", "critical"], str] = {}  # beside `PATCH_WITHIN`


PATCH_WITHIN: Final = {"critical": "7d", "high": "30d", "medium": "90d", "low": "180d"}
"""How long after a fix was there it must be in place, where the project says nothing else."""


class Registry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long releases are kept that nobody uses; an empty term never ends."""

    stale_after: str = "90d"
    archive_after: str = ""


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long logs are kept; security events are entries of the ledger and stay as long as it does."""

    ordinary: str = "90d"
    security: str = "400d"  # files that are evidence of an attack


class Residency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where data may be and where it is, as its owner declares: nothing measures where a disk stands."""

    allowed: tuple[str, ...] = ()  # regions, or what they begin with: `eu` allows `eu-central-1`
    storage: str = ""  # the region of workspace and sources
    gateways: tuple[str, ...] = ()  # the regions that calls are answered in

    def strays(self) -> tuple[str, ...]:
        """Return the declared regions that are not allowed; nothing allowed allows nothing."""
        inside = tuple(f"{region}-" for region in self.allowed)
        declared = dict.fromkeys((self.storage, *self.gateways))
        return tuple(each for each in declared if each and each not in self.allowed and not each.startswith(inside))


class Project(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of `holdfast.toml`."""

    project: About
    risk: Risk
    data: Data
    features: Features = Features()
    train: Train
    gates: Gates
    serving: Serving = Serving()
    slo: Slo = Slo()
    rollout: Rollout = Rollout()
    resilience: Resilience = Resilience()
    needs: Needs = Needs()
    tests: Tests = Tests()
    respond: Respond = Respond()
    registry: Registry = Registry()
    dependencies: Dependencies = Dependencies()
    intake: Intake | None = None
    success: Success | None = None
    budget: Budget | None = None
    retention: Retention = Retention()
    residency: Residency = Residency()

    def columns_of(self, use: Use) -> tuple[str, ...]:
        """Return the declared columns of one use, in order."""
        return tuple(name for name, column in self.data.columns.items() if column.use is use)

    @property
    def label(self) -> str:
        """The label's column."""
        return self.columns_of(Use.LABEL)[0]

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """The declared columns that the model may see, in order."""
        return self.features.columns or self.columns_of(Use.FEATURE)


def parse_project(text: bytes, *, place: str = "holdfast.toml") -> tuple[Project, Digest]:
    """Return the project in a TOML document, and the document's digest.

    Raises:
        InvalidProject: With file and line, whatever is wrong.
    """
    if len(text) > MAX_PROJECT:
        raise InvalidProject(f"{len(text)} bytes", place=place, expected=f"at most {MAX_PROJECT}")
    try:
        raw = msgspec.toml.decode(text)
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, not TOML
        line = _TOML_LINE.search(str(error))
        raise InvalidProject(f"this is not TOML: {error}", place=f"{place}:{line[1]}" if line else place) from error
    try:
        project = msgspec.convert(raw, Project)
    except msgspec.ValidationError as error:
        words = _named(raw, str(error))
        raise InvalidProject(words, place=f"{place}{_line(text, words)}") from error
    for key, words, expected in _faults(project):
        raise InvalidProject(words, place=f"{place}{_line(text, f'`$.{key}`')}", expected=expected)
    return project, digest_bytes(text)


def _faults(project: Project) -> Iterator[tuple[str, str, str]]:
    """Yield what types cannot say: the key that is wrong, how, and what would be right."""
    about = project.project
    if not _NAME.fullmatch(about.name):
        yield "project.name", f"name {about.name[:80]!r}", "a-z, 0-9 and -, beginning with a letter, up to 63"
    if not about.owner.strip():
        yield "project.owner", "the project has no owner", "a person who answers for it"
    yield from _column_faults(project)
    if project.train.test_share + project.train.validation_share >= 1:
        yield "train.test_share", "test_share and validation_share leave nothing to train on", "a sum below 1"
    recipe = project.train.recipe
    if not (_RECIPE.fullmatch(recipe) or _OUTSIDE.fullmatch(recipe)) or ".." in recipe:
        expected = "file.py:function, inside the project, or outside: and twelve or more digits of an admitted model"
        yield "train.recipe", f"recipe {recipe[:80]!r}", expected
    if project.train.outside and project.train.secrets:
        yield "train.secrets", "secrets for a model from outside", "none: nothing of it runs"
    if not all(is_name(name) for name in project.train.secrets):
        yield "train.secrets", "a secret whose name cannot be one", "a-z, 0-9, _ and -, beginning with a letter"
    yield from _rollout_faults(project.rollout)
    yield from _resilience_faults(project)
    if project.success is not None:
        yield from success_faults(project.success)
    if project.budget is not None and not project.budget.compliance:  # empty means no
        yield "budget.compliance", "the budget names no obligation", "at least one"
    yield from faults(project.serving)
    terms = (*durations(project.serving), *_terms(project), *_due(project.dependencies))
    for key, term in terms:
        try:
            seconds(term)
        except InvalidInput as error:
            yield key, error.message, error.expected
    yield from _retention_faults(project.retention)


def _rollout_faults(rollout: Rollout) -> Iterator[tuple[str, str, str]]:
    steps = rollout.steps
    if not steps or list(steps) != sorted(set(steps)) or not steps[0] > 0 or steps[-1] != 1:
        yield "rollout.steps", "rollout steps do not rise to 1", "for example [0.1, 0.5, 1.0]"
    if not all(is_name(name) for name in rollout.attributes):
        yield "rollout.attributes", "an attribute whose name cannot be one", "a-z, 0-9, _ and -, a letter first"


def _resilience_faults(project: Project) -> Iterator[tuple[str, str, str]]:
    try:
        check_resilience(project.resilience)
    except InvalidInput as error:
        yield "resilience.safe_state", error.message, error.expected or "a declaration that can be obeyed"
    try:
        check_needs(project.needs)
    except InvalidInput as error:
        yield "needs", error.message, error.expected


def _due(limits: Dependencies) -> Iterator[tuple[str, str]]:
    """Yield every time limit of dependencies."""
    yield "dependencies.snapshot_max_age", limits.snapshot_max_age
    yield "dependencies.accepted_longest", limits.accepted_longest
    yield "dependencies.runtime_max_age", limits.runtime_max_age
    yield from ((f"dependencies.patch_within.{name}", term) for name, term in limits.patch_within.items())


def _terms(project: Project) -> Iterator[tuple[str, str]]:
    """Yield the terms that are set; an empty one never ends."""
    kept, drill = project.registry, ("rollout.drill_every", project.rollout.drill_every)
    named = (("registry.stale_after", kept.stale_after), ("registry.archive_after", kept.archive_after), drill)
    yield from ((key, term) for key, term in named if term)


def _retention_faults(retention: Retention) -> Iterator[tuple[str, str, str]]:
    lasts: dict[str, int] = {}
    for name in ("ordinary", "security"):
        try:
            lasts[name] = seconds(getattr(retention, name))
        except InvalidInput as error:
            yield f"retention.{name}", error.message, error.expected
    if lasts.get("security", 1) <= lasts.get("ordinary", 0):
        yield "retention.security", "security logs are not kept longer than ordinary ones", "a longer time"


def _column_faults(project: Project) -> Iterator[tuple[str, str, str]]:
    if len(project.columns_of(Use.LABEL)) != 1:
        yield "data.columns", 'not exactly one column has use = "label"', "one label"
    for name, column in project.data.columns.items():
        try:
            check_column(name, column)
        except InvalidInput as error:
            yield f"data.columns.{name}", f"column {name!r}: {error.message}", error.expected
    unknown = [name for name in project.features.columns if name not in project.columns_of(Use.FEATURE)]
    if unknown:
        yield "features.columns", f"{unknown[0]!r} is not a feature column", 'columns whose use is "feature"'
    if not project.feature_columns:
        yield "data.columns", 'no column has use = "feature"', "at least one"


def _named(raw: Any, message: str) -> str:
    """Return msgspec's message with the column in it that msgspec leaves out."""
    if _COLUMN not in message:
        return message
    for name, column in raw["data"]["columns"].items():
        try:
            msgspec.convert(column, Column)
        except msgspec.ValidationError:
            return message.replace(_COLUMN, f"$.data.columns.{name}")
    return message


def _line(text: bytes, message: str) -> str:
    """Return `:line` of the key a message points at, or of the nearest table around it, or nothing."""
    path, unknown = _PATH.search(message), _UNKNOWN.search(message)
    keys = [key for key in re.split(r"[.\[\]]", path[1]) if key and key != "..."] if path else []
    keys += [unknown[1]] if unknown else []
    lines = text.decode(errors="replace").splitlines()
    for depth in range(len(keys), 0, -1):
        line = _find(lines, ".".join(keys[: depth - 1]), keys[depth - 1])
        if line:
            return f":{line}"
    return ""


def _find(lines: list[str], table: str, key: str) -> int:
    """Return the line of `key` inside `[table]`, or of the table `[table.key]` itself, or 0."""
    full, inside = f"{table}.{key}".strip("."), table == ""
    for number, line in enumerate(lines, 1):
        bare = line.partition("#")[0].strip()
        if bare.startswith("["):
            name = bare.strip("[] ").replace('"', "")
            if name == full:
                return number
            inside = name == table
        elif inside and re.match(rf'"?{re.escape(key)}"?\s*=', bare):
            return number
    return 0
