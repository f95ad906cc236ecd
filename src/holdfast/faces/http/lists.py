"""The lists of the API: of each answer to GET, which of its parts are lists, and what their rows are known by.

Every such list comes in pages, by the one way in `pages`. A command with a list in its answer must have a row here: a
test asks every command of the table, and fails where one has not.
"""

from collections.abc import Mapping
from typing import Final

from holdfast.faces.http.pages import Listed


def _given(name: str, *key: str) -> Listed:
    return Listed(name=name, key=key, order="given")


def _newest(name: str, key: str) -> Listed:
    return Listed(name=name, key=(key,), order="newest")


def _keyed(name: str, *key: str) -> Listed:
    return Listed(name=name, key=key)


LISTS: Final[Mapping[tuple[str, ...], tuple[Listed, ...]]] = {
    ("why",): (_given("chain", "digest"), _given("history", "position"), _given("reasons")),
    ("verify",): (_given("checks", "what"),),
    ("log",): (_newest("entries", "position"),),
    ("keys",): (_keyed("keys", "role", "keyid"),),
    ("key", "due"): (_keyed("due", "keyid"),),
    ("gateways",): (_keyed("gateways", "name"),),
    ("cert", "list"): (_keyed("certificates", "name"),),
    ("persons",): (_keyed("persons", "name"),),
    ("trust", "show"): (_keyed("root_holders"), _keyed("policies"), _keyed("revoked")),
    ("approvals",): (_given("words", "person", "role", "action", "rule", "until"), _keyed("missing")),
    ("policy", "explain"): (_given("rules", "rule"),),
    ("data", "review", "list"): (_given("cases", "case"),),
    ("data", "quarantined"): (_given("hours", "hour"),),
    ("feature", "list"): (_given("features", "feature"),),
    ("feature", "show"): (
        _given("versions", "version"),
        _given("materialised", "time"),
        _given("releases", "release"),
    ),
    ("feature", "freshness"): (_given("views", "view"),),
    ("feature", "access"): (_keyed("reads", "feature", "consumer", "release"),),
    ("data", "list"): (_keyed("sources", "source"), _keyed("scratch", "folder")),
    ("source", "list"): (_given("sources", "source"),),
    ("source", "due"): (_given("sources", "source"), _given("late"), _given("due")),
    ("source", "log"): (_given("entries", "position"),),
    ("data", "log"): (_given("versions", "version"), _keyed("branches", "name"), _keyed("tags", "name")),
    ("data", "show"): (
        _given("history", "version"),
        _given("columns", "name"),
        _given("names"),
        _given("tags"),
        _given("lacks"),
        _given("sources", "source"),
        _given("decisions", "time", "row", "column"),
    ),
    ("data", "search"): (_given("data", "version"),),
    ("data", "coverage"): (_given("kinds", "kind"), _given("gaps", "artifact")),
    ("lineage",): (_given("nodes", "digest"), _given("edges", "from", "to")),
    ("debug", "data"): (_given("versions", "version"),),
    ("debug", "pipeline"): (_given("steps", "stage"), _given("changes", "rule", "column"), _given("transforms")),
    ("data", "learned"): (_given("models", "model", "side"), _given("erased_splits")),
    ("data", "trail"): (_newest("steps", "position"),),
    ("registry", "list"): (_given("releases", "release"),),
    ("registry", "show"): (_given("sections"),),
    ("registry", "diff"): (_keyed("differences", "kind", "path"),),
    ("registry", "sprawl"): (_keyed("registries"), _keyed("files", "path"), _keyed("blobs")),
    ("bom", "show"): (_given("lacks"), _given("parts", "kind", "name", "version", "digest", "licence")),
    ("bom", "diff"): (_keyed("differences", "kind", "name", "change"),),
    ("bom", "impact"): (_given("hits", "release"),),
    ("bom", "completeness"): (_given("bills", "release"), _given("outside", "subject")),
    ("advisories", "list"): (_given("snapshots", "digest"),),
    ("attestations", "list"): (_keyed("attestations", "entry"),),
    ("intake", "list"): (_given("things", "subject"),),
    ("access", "users"): (_keyed("accounts", "name"),),
    ("access", "actions"): (_keyed("actions", "name"),),
    ("access", "check"): (_keyed("wildcards"),),
    ("access", "explain"): (_keyed("groups"), _keyed("by")),
    ("access", "who-can"): (_keyed("accounts", "name"),),
    ("access", "review"): (_keyed("proposals", "name", "what", "propose"), _keyed("wildcards")),
    ("access", "coverage"): (_keyed("calls", "what", "asker"), _keyed("commands", "what"), _keyed("routes", "what")),
    ("access", "requests"): (_given("requests", "id"),),
    ("secret", "list"): (_keyed("secrets", "name"),),
    ("jobs",): (_newest("jobs", "job"),),
    ("plan", "models"): (
        _keyed("models", "workspace", "model", "version"),
        _keyed("unlisted", "shown_by", "model", "version"),
        _keyed("not_looked_at", "where"),
    ),
    ("posture",): (_given("layers", "layer"),),
    ("kickoff",): (_given("steps", "day", "claim"),),
    ("plan", "budget"): (_keyed("over"),),
    ("plan", "sensitivity"): (_keyed("withheld"),),
    ("plan", "maturity"): (_given("practices", "level", "claim"), _keyed("missing")),
    ("plan", "properties"): (_given("properties", "property", "claim"), _keyed("weak"), _keyed("tests_missing")),
    ("plan", "landscape"): (_given("categories", "category"), _keyed("without_control")),
    ("plan", "threats"): (_given("threats", "id"), _keyed("findings", "place", "rule")),
    ("ledger", "key"): (_keyed("keys"),),
    ("events", "list"): (_newest("events", "number"),),
    ("compliance",): (_given("frameworks", "id"), _given("lines", "framework", "provision", "about")),
    ("routine", "due"): (_given("routines", "routine"), _keyed("overdue")),
    ("toil",): (_given("without_hands", "what"), _given("by_hand", "what")),
}
"""By the command's words. What an answer to POST lists was done by that one call: it comes whole, and is kept whole for
the idempotency key."""
