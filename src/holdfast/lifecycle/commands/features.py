"""Features: which there are, what they were at a moment, how new they are, and who read them."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON

_VIEW: Final = Option(name="view", says="name of the view", argument=True, required=True)
_ANY_VIEW: Final = Option(name="view", says="name of the view; all of them if left out", argument=True)
_READER: Final = "anyone who can read the workspace"

COMMANDS: Final = (
    Command(
        words=("feature", "list"),
        does="list every feature: its view, code, type, owner and version, and whether it is registered",
        verb="holdfast.lifecycle.features:feature_list",
        authority=_READER,
        action="features.list",
        changes=False,
    ),
    Command(
        words=("feature", "register"),
        does="put a view of the project file into the registry, as its next version",
        verb="holdfast.lifecycle.features:register",
        authority="the owner's key",
        action="features.write",
        example='holdfast feature register clicks --reason "views before the click, for the fraud team"',
        options=(_VIEW, REASON),
    ),
    Command(
        words=("feature", "show"),
        does="show a view: every version, its code, its sources, its online values and which releases use it",
        verb="holdfast.lifecycle.features:show",
        authority=_READER,
        action="features.list",
        changes=False,
        options=(_VIEW,),
    ),
    Command(
        words=("feature", "materialise"),
        does="read the sources of registered views and put the newest values into the online store",
        verb="holdfast.lifecycle.online_features:materialise",
        authority="the stage keys",
        action="features.write",
        options=(_ANY_VIEW,),
    ),
    Command(
        words=("feature", "get"),
        does="read features of an entity, online or as of a moment; who read what is on record",
        verb="holdfast.lifecycle.online_features:get",
        authority=_READER,
        action="features.list",  # each feature that is read is a decision of its own: `features.read` on it
        example="holdfast feature get clicks user-17 --features views_before,amount_log",
        options=(
            _VIEW,
            Option(
                name="entity", says="the entity; parts of its name with commas between", argument=True, required=True
            ),
            Option(name="features", says="which features, with commas between; all of the view if left out"),
            Option(name="at", says="the moment, such as 2026-11-27T14:47:00+01:00; now if left out"),
            Option(name="offline", says="from the source, as it was known then", kind="flag", default=False),
            Option(name="credential", says="file with an API key or token to act by", kind="path"),
        ),
    ),
    Command(
        words=("feature", "parity"),
        does="compare the online store with the sources, bit for bit; a difference is an error",
        verb="holdfast.lifecycle.online_features:parity",
        authority="the stage keys",
        action="features.write",
        options=(_ANY_VIEW,),
    ),
    Command(
        words=("feature", "freshness"),
        does="measure how old online features are, against the limit that each view declares",
        verb="holdfast.lifecycle.online_features:freshness",
        authority=_READER,
        action="features.list",
        changes=False,
    ),
    Command(
        words=("feature", "access"),
        does="list reads of features by feature, consumer and version of the model",
        verb="holdfast.lifecycle.feature_access:access",
        authority=_READER,
        action="features.list",
        changes=False,
        options=(_ANY_VIEW,),
    ),
    Command(
        words=("feature", "import-feast"),
        does="write views for the definitions of a Feast repository, which is read and never run",
        verb="holdfast.lifecycle.feast:import_feast",
        authority="none",
        action="features.write",
        opens="folder",
        options=(
            Option(name="folder", says="the Feast repository", kind="path", argument=True, required=True),
            Option(name="out", says="file for the views, TOML; printed if left out", kind="path"),
        ),
    ),
)
