"""The registered views that a project uses, as its VIEWS folder holds them: declarations, and bytes of sources."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from holdfast.core.artifact import Artifact, Digest, parse_manifest
from holdfast.core.dlp import Presidio
from holdfast.core.errors import InvalidProject, NotVerified
from holdfast.core.feature import ViewSpec
from holdfast.core.ports import Blobs, Recogniser, no_recogniser, no_token_key
from holdfast.core.project import Project
from holdfast.engines.dlp import recogniser_of
from holdfast.engines.events import Events, compile_view, read_events


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """One view that is used: its registered declaration, the digest of its source, and its events."""

    spec: ViewSpec
    source: str
    events: Events

    @property
    def name(self) -> str:
        """The view's name."""
        return self.spec.name


def open_views(
    blobs: Blobs,
    views: Artifact | None,
    project: Project,
    token_key: Callable[[], bytes] = no_token_key,
    open_recogniser: Callable[[Presidio], Recogniser] = no_recogniser,
) -> tuple[Opened, ...]:
    """Return the views that a project uses, with what `[dlp]` declares done to their rows.

    Raises:
        InvalidProject: It uses one of which no registered version was handed in: such features are not trained on. Or
            `[dlp.presidio]` asks for what cannot be had.
        Unavailable: `[dlp.presidio]` is declared, and Presidio is not here or failed.
        InvalidData: A source does not fit its declaration, or holds personal data where it may not.
        NotVerified: A stored declaration is not what its version promises.
    """
    wanted = dict.fromkeys(name.partition(".")[0] for name in project.features.use)
    if wanted and views is None:
        raise InvalidProject(
            f"the feature view {next(iter(wanted))!r} is not registered", place="[features].use",
            expected="a registered view", remedy="Register it: holdfast feature register",
        )  # fmt: skip
    if views is None:
        return ()
    folder = parse_manifest(blobs.get(views.digest))
    recogniser = recogniser_of(project.dlp, open_recogniser)  # once for all views
    found = []
    for name in wanted:
        try:
            spec = msgspec.json.decode(blobs.get(Digest(folder.file(f"{name}.json").digest)), type=ViewSpec)
        except msgspec.MsgspecError as error:
            raise NotVerified(f"the declaration of {name} cannot be read", place=views.digest) from error
        if spec.name != name or spec.digest != spec.spec.digest:
            raise NotVerified(f"the declaration of {name} is not of its version", place=views.digest)
        source = Digest(folder.file(f"{name}.source").digest)
        compiled, data = compile_view(name, spec.spec), blobs.get(source)
        events = read_events(compiled, data, project.dlp, token_key, recogniser)
        found.append(Opened(spec=spec, source=source, events=events))
    return tuple(found)
