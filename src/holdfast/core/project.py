"""The project file: `holdfast.toml`, parsed once, strictly, with the line of whatever is wrong."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from holdfast.core import misfit
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.checks import Check, Onboarding, check_faults
from holdfast.core.dlp import Dlp, dlp_faults
from holdfast.core.endpoint import Count, Positive, Serving, Share, Text, durations, faults
from holdfast.core.entities import Entities, entity_faults
from holdfast.core.errors import InvalidInput, InvalidProject
from holdfast.core.feature import FeatureView, view_faults
from holdfast.core.needs import Needs, check_needs
from holdfast.core.outliers import Decided, Outliers, outlier_faults
from holdfast.core.planning import Budget, Intake, Success, success_faults
from holdfast.core.policy import seconds
from holdfast.core.ports import Tier
from holdfast.core.repairs import Repair, repair_faults
from holdfast.core.resilience import Resilience, check_resilience
from holdfast.core.schema import Column, ColumnType, Use, check_column, is_described
from holdfast.core.secret import is_name
from holdfast.core.sources import MAX_SOURCES, PREFIX, Source, named_in, source_faults
from holdfast.core.text import Hashing, text_faults

MAX_SUBSETS: Final = 250  # each is a sandboxed job of about two seconds
MIN_SUBSETS: Final = 3  # of two, one changed vote is a tie
MAX_PROJECT: Final = 1 << 20  # bytes; a thousand documented columns take a fifth of it
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_RECIPE: Final = re.compile(r"[\w./-]+\.py:[A-Za-z_]\w*")
_OUTSIDE: Final = re.compile(r"outside:[0-9a-f]{12,64}")
_TOML_LINE: Final = re.compile(r"at line (\d+)")

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

    source: Text  # a file, or source:NAME of [sources]; several as a list
    format: Literal["csv", "parquet", "jsonl", "sources"] = "sources"  # of a file; rows of sources have one form
    origin: Text  # who made the data and how it came here
    licence: Text
    columns: dict[str, Column]
    null_literals: tuple[str, ...] = ("NULL", "null", "N/A", "")
    timestamp_formats: tuple[str, ...] = ()
    timestamp_zone: str = ""  # what formats without a zone mean; UTC where nothing is said
    max_quarantined_share: Share = 0.2  # above it the batch itself is suspect
    contract: str = ""  # an ODCS file beside this one, which then declares the columns and checks
    uses: dict[str, Use] = {}  # what the contract's columns are for, where it does not say
    checks: tuple[Check, ...] = ()
    entities: Entities | None = None  # where ids cannot be trusted
    clean: tuple[Repair, ...] = ()  # before texts are read as values, in this order
    references: dict[str, str] = {}  # digests of the tables that checks refer to: added when the file is read
    checked_against: dict[str, str] = {}  # digest of the contract's file: added when the file is read
    onboarding: Onboarding | None = None
    outliers: Outliers | None = None  # how values that lie out are sorted; nothing is sorted where it is missing
    decisions: Decided | None = None  # of persons, in force: added when a run begins
    critical: tuple[str, ...] = ()  # columns whose quality is published; every feature where none is named


class Transform(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One derived feature: a named transform of declared columns."""

    name: str
    transform: Literal["log1p", "square", "ratio", "difference"]
    of: tuple[str, ...]


class Features(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which columns a model sees; empty `columns` means every column of use `feature`.

    `texts` says by column of use `text` how it is hashed; one that is not named is not seen. `views` are declared for
    everybody; `use` names those of their features that this model sees, as `view.feature`.
    """

    columns: tuple[str, ...] = ()
    transforms: tuple[Transform, ...] = ()
    texts: dict[str, Hashing] = {}
    views: dict[str, FeatureView] = {}
    use: tuple[str, ...] = ()


class Train(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the model is made."""

    recipe: str  # file.py:function, or outside:DIGEST of a model that the intake has admitted
    authors: tuple[Text, ...] = ()  # who wrote it, where no history of the folder says so: "Name <address>"
    positive: Text  # the label value whose probability is the score
    seed: Seed = 0
    test_share: Part = 0.25
    validation_share: Part = 0.15
    tier: Tier = Tier.PROCESS
    subsets: Annotated[int, Meta(ge=0, le=MAX_SUBSETS)] = 0  # disjoint ones, a model of each, which vote; 0 for one
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
    gameday_every: str = "92d"  # between two game days; empty for none
    gameday_rehearsals: tuple[Text, ...] = ()  # by name; all there are if left out


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
    sources: dict[str, Source] = {}
    dlp: Dlp = Dlp()

    def columns_of(self, use: Use) -> tuple[str, ...]:
        """Return the declared columns of one use, in order, without those that nobody has described."""
        return tuple(name for name, column in self.data.columns.items() if column.use is use and is_described(column))

    @property
    def label(self) -> str:
        """The label's column."""
        return self.columns_of(Use.LABEL)[0]

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """The declared columns that the model may see, in order."""
        return self.features.columns or self.columns_of(Use.FEATURE)


@lru_cache(maxsize=16)  # one command reads one project a dozen times
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
    _join_sources(raw)
    try:
        project = msgspec.convert(raw, Project)
    except msgspec.ValidationError as error:
        words = misfit.named(raw, str(error), Project)
        at = misfit.line(text, words)
        raise InvalidProject(words, place=f"{place}{at}", expected=misfit.expected(words, Project)) from error
    for key, words, expected in _faults(project):
        raise InvalidProject(words, place=f"{place}{misfit.line(text, f'`$.{key}`')}", expected=expected)
    return project, digest_bytes(text)


def _faults(project: Project) -> Iterator[tuple[str, str, str]]:
    """Yield what types cannot say: the key that is wrong, how, and what would be right."""
    about = project.project
    if not _NAME.fullmatch(about.name):
        yield "project.name", f"name {about.name[:80]!r}", "a-z, 0-9 and -, beginning with a letter, up to 63"
    if not about.owner.strip():
        yield "project.owner", "the project has no owner", "a person who answers for it"
    yield from _column_faults(project)
    yield from source_faults(project.sources)
    yield from _data_faults(project)
    yield from _train_faults(project.train)
    yield from _rollout_faults(project.rollout)
    yield from _resilience_faults(project)
    if project.success is not None:
        yield from success_faults(project.success)
    if project.budget is not None and not project.budget.compliance:  # empty means no
        yield "budget.compliance", "the budget names no obligation", "at least one"
    yield from faults(project.serving)
    yield from _view_faults(project)
    terms = (*durations(project.serving), *_terms(project), *_due(project.dependencies))
    for key, term in terms:
        try:
            seconds(term)
        except InvalidInput as error:
            yield key, error.message, error.expected
    yield from _retention_faults(project.retention)


def _train_faults(train: Train) -> Iterator[tuple[str, str, str]]:
    if train.test_share + train.validation_share >= 1:
        yield "train.test_share", "test_share and validation_share leave nothing to train on", "a sum below 1"
    recipe = train.recipe
    if not (_RECIPE.fullmatch(recipe) or _OUTSIDE.fullmatch(recipe)) or ".." in recipe:
        expected = "file.py:function, inside the project, or outside: and twelve or more digits of an admitted model"
        yield "train.recipe", f"recipe {recipe[:80]!r}", expected
    if 0 < train.subsets < MIN_SUBSETS:
        yield "train.subsets", f"{train.subsets} subsets can withstand nothing", f"0, or {MIN_SUBSETS} and more"
    if train.outside and train.subsets:
        yield "train.subsets", "subsets of a model from outside", "0: nothing is trained"
    if train.outside and train.secrets:
        yield "train.secrets", "secrets for a model from outside", "none: nothing of it runs"
    if not all(is_name(name) for name in train.secrets):
        yield "train.secrets", "a secret whose name cannot be one", "a-z, 0-9, _ and -, beginning with a letter"


def _join_sources(raw: Any) -> None:
    """Put several sources that `[data]` lists into one text, which is what a data set's place is called by."""
    data = raw.get("data") if isinstance(raw, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("source"), list):
        return
    listed = data["source"]
    if 0 < len(listed) <= MAX_SOURCES and all(isinstance(each, str) and each.startswith(PREFIX) for each in listed):
        data["source"] = ", ".join(listed)


def _data_faults(project: Project) -> Iterator[tuple[str, str, str]]:
    names, form = named_in(project.data.source), project.data.format
    for name in names:
        if name not in project.sources:
            yield "data.source", f"there is no source {name[:80]!r}", "source:NAME of a table [sources.NAME]"
    if len(set(names)) != len(names):
        yield "data.source", "one source is named twice", "each once"
    if names and form != "sources":
        yield "data.format", f"a format {form} of rows that come from sources", "none: each source has its own"
    if not names and form == "sources":
        yield "data.format", "the format of the file is missing", "csv, parquet or jsonl"


def _view_faults(project: Project) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with views, and with what is used of them."""
    views, used = project.features.views, project.features.use
    yield from view_faults(views)
    for name in used:
        view, _, feature = name.partition(".")
        if view not in views or feature not in views[view].features:
            yield "features.use", f"there is no feature {name[:80]!r}", "view.feature of [features.views]"
            return
        if views[view].features[feature].type not in {"float", "int", "bool"}:
            yield "features.use", f"{name} is a {views[view].features[feature].type}", "a float, an int or a bool"
    if len(set(used)) != len(used):
        yield "features.use", "a feature stands twice", "each once"
    if used and project.serving.online.missing == "fallback" and project.resilience.fallback is None:
        yield "serving.online.missing", "rules answer where features are missing, and there are none", "[resilience]"
    times = project.columns_of(Use.TIME)
    if used and len(times) != 1:
        yield "data.columns", f'{len(times)} columns have use = "time"', "one: views are read as of its moments"
    for view in dict.fromkeys(name.partition(".")[0] for name in used):
        for key in views[view].entity:
            if key not in project.data.columns or project.data.columns[key].use is Use.PERSONAL:
                yield "features.use", f"no column {key!r}, by which {view} knows its entity", "it under [data.columns]"


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
    gameday = ("respond.gameday_every", project.respond.gameday_every)
    named = (("registry.stale_after", kept.stale_after), ("registry.archive_after", kept.archive_after), drill, gameday)
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
        yield "data.columns", 'not exactly one described column has use = "label"', "one label"
    for name, column in project.data.columns.items():
        try:
            check_column(name, column)
        except InvalidInput as error:
            yield f"data.columns.{name}", f"column {name!r}: {error.message}", error.expected
    yield from check_faults(project.data.checks, project.data.columns)
    yield from repair_faults(project.data.clean, project.data.columns)
    yield from entity_faults(project.data.entities, project.data.columns)
    yield from outlier_faults(project.data.outliers, project.data.columns)
    yield from _onboarding_faults(project)
    strange = [name for name in project.data.critical if name not in project.data.columns]
    if strange:
        yield "data.critical", f"there is no column {strange[0]!r}", "columns of [data.columns]"
    ruled = {*project.data.columns, *(name for view in project.features.views.values() for name in view.columns)}
    yield from dlp_faults(project.dlp, ruled)
    unknown = [name for name in project.features.columns if name not in project.columns_of(Use.FEATURE)]
    if unknown:
        yield "features.columns", f"{unknown[0]!r} is not a feature column", 'columns whose use is "feature"'
    if not project.feature_columns and not project.features.texts:
        yield "data.columns", 'no column has use = "feature"', "at least one"
    yield from _text_faults(project)


def _text_faults(project: Project) -> Iterator[tuple[str, str, str]]:
    yield from text_faults(project.features.texts)
    strange = [name for name in project.features.texts if name not in project.columns_of(Use.TEXT)]
    if strange:
        yield "features.texts", f"{strange[0]!r} is not a column of text", 'columns whose use is "text"'
    if project.serving.texts is not None and not project.features.texts:
        yield "serving.texts", "the model reads no texts", "[features.texts]"
    made = {*(each.name for each in project.features.transforms), *project.features.use}
    twice = [name for name in project.features.texts if name in made]
    if twice:
        yield "features.texts", f"a text and another input are called {twice[0]!r}", "a name of its own for each"


def _onboarding_faults(project: Project) -> Iterator[tuple[str, str, str]]:
    new = project.data.onboarding
    if new is None:
        return
    column = project.data.columns.get(new.column)
    if column is None or column.use is Use.PERSONAL or column.type not in {ColumnType.STRING, ColumnType.CATEGORY}:
        yield "data.onboarding.column", f"clients cannot be known by {new.column!r}", "a column of text"
    if not new.clients:  # empty means no: nobody is new
        yield "data.onboarding.clients", "nobody is named", "at least one client"
