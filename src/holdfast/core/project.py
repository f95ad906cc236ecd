"""The project file: `holdfast.toml`, parsed once, strictly, with the line of whatever is wrong."""

import re
from typing import Final, Literal

import msgspec

from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import InvalidInput, InvalidProject
from holdfast.core.policy import seconds
from holdfast.core.ports import Tier
from holdfast.core.schema import Column, Use, check_column

MAX_PROJECT: Final = 1 << 20  # bytes; a thousand documented columns take a fifth of it
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_PATH: Final = re.compile(r"\$((?:\.[^.`\[\]]+|\[[^\]]*\])*)")


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


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where rows come from and what each column must be."""

    source: str
    format: Literal["csv", "parquet"]
    origin: str  # who made the data and how it came here
    licence: str
    columns: dict[str, Column]
    null_literals: tuple[str, ...] = ("NULL", "null", "N/A", "")
    timestamp_formats: tuple[str, ...] = ()
    max_quarantined_share: float = 0.2  # above it the batch itself is suspect


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

    recipe: str  # file.py:function
    positive: str  # the label value whose probability is the score
    seed: int = 0
    test_share: float = 0.25
    validation_share: float = 0.15
    tier: Tier = Tier.PROCESS
    params: dict[str, int | float | str | bool] = {}


class Gates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which policy decides: a shipped one by name, or a file."""

    policy: str


class Serving(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the gateway answers."""

    round_decimals: int = 2
    rate_per_s: float = 50.0
    burst: int = 100
    max_rows: int = 256
    lease: str = "15m"


class Slo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the service promises; a breach rolls back."""

    latency_p95_ms: float = 200.0
    error_rate: float = 0.01
    drift_psi: float = 0.25  # per feature, on a window of at least `min_window` rows
    min_window: int = 200


class Rollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a candidate takes over from the baseline."""

    steps: tuple[float, ...] = (0.1, 0.5, 1.0)
    min_requests: int = 100
    alpha: float = 0.02  # chance of a false rollback under continuous checking


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
        project = msgspec.toml.decode(text, type=Project)
    except msgspec.ValidationError as error:
        raise InvalidProject(str(error), place=f"{place}{_line(text, str(error))}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidProject(f"this is not TOML: {error}", place=place) from error
    _check(project, text, place)
    return project, digest_bytes(text)


def _check(project: Project, text: bytes, place: str) -> None:
    def at(key: str) -> str:
        return f"{place}{_line(text, f'`$.{key}`')}"

    if not _NAME.fullmatch(project.project.name):
        raise InvalidProject(
            f"name {project.project.name!r}", place=at("project.name"), expected="a-z, 0-9 and -, up to 63"
        )
    if not project.project.owner.strip():
        raise InvalidProject(
            "the project has no owner", place=at("project.owner"), expected="a person who answers for it"
        )
    if len(project.columns_of(Use.LABEL)) != 1:
        raise InvalidProject('not exactly one column has use = "label"', place=at("data.columns"))
    for name, column in project.data.columns.items():
        try:
            check_column(name, column)
        except InvalidInput as error:
            raise InvalidProject(error.message, place=at(f"data.columns.{name}"), expected=error.expected) from error
    unknown = [name for name in project.features.columns if name not in project.columns_of(Use.FEATURE)]
    if unknown:
        raise InvalidProject(f"{unknown[0]!r} is not a feature column", place=at("features.columns"))
    if not project.feature_columns:
        raise InvalidProject('no column has use = "feature"', place=at("data.columns"))
    shares = (project.train.test_share, project.train.validation_share)
    if not all(0 < share < 1 for share in shares) or sum(shares) >= 1:
        raise InvalidProject(
            "test_share and validation_share leave nothing", place=at("train"), expected="a sum below 1"
        )
    if not re.fullmatch(r"[\w./-]+\.py:[A-Za-z_]\w*", project.train.recipe) or ".." in project.train.recipe:
        raise InvalidProject(f"recipe {project.train.recipe!r}", place=at("train.recipe"), expected="file.py:function")
    steps = project.rollout.steps
    if not steps or list(steps) != sorted(set(steps)) or not steps[0] > 0 or steps[-1] != 1:
        raise InvalidProject(
            "rollout steps do not rise to 1", place=at("rollout.steps"), expected="for example [0.1, 0.5, 1.0]"
        )
    try:
        seconds(project.serving.lease)
    except InvalidInput as error:
        raise InvalidProject(error.message, place=at("serving.lease"), expected=error.expected) from error


def _line(text: bytes, message: str) -> str:
    """Return `:line` of the key a message points at, or nothing where it cannot be told."""
    found = _PATH.search(message)
    keys = [key for key in re.split(r"[.\[\]]", found[1]) if key and key != "..."] if found else []
    lines = text.decode(errors="replace").splitlines()
    for depth in range(len(keys), 0, -1):
        table, key = ".".join(keys[: depth - 1]), keys[depth - 1]
        line = _find(lines, table, key)
        if line:
            return f":{line}"
    return ""


def _find(lines: list[str], table: str, key: str) -> int:
    """Return the line of `key` inside `[table]`, or of the table `[table.key]` itself, or 0."""
    full, inside = f"{table}.{key}".strip("."), table == ""
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        if bare.startswith("["):
            name = bare.strip("[] ").replace('"', "")
            if name == full:
                return number
            inside = name == table
        elif inside and re.match(rf'"?{re.escape(key)}"?\s*=', bare):
            return number
    return 0
