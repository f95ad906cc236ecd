"""Coverage: which calls between parts are authenticated and authorised whatever network they come from (ACC-07).

`CALLS` is the whole list of who asks whom; a part that is added adds its row. What the control plane answers over the
network is not taken from the list: with an address, every route of the running one is asked without a credential.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from holdfast.core.actions import NAMES
from holdfast.core.errors import HoldfastError, NotVerified
from holdfast.lifecycle import COMMANDS, Command
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table

OPENAPI: Final = "/openapi.json"
UNAUTHENTICATED: Final = 401
HTTP_OK: Final = 200
PUBLIC: Final = ("/health", "/healthz", "/ready", "/readyz", "/livez", "/openapi.json", "/v1/sign-on", "/sign-on")
"""Routes that must answer everybody: whether it lives, what it offers, and how to sign on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One part asking another: by what the asker is known, and by what it is allowed; empty where by nothing yet."""

    asker: str
    asked: str
    known_by: str
    allowed_by: str
    missing: str = ""

    @property
    def covered(self) -> bool:
        """Whether both are checked on each call."""
        return bool(self.known_by and self.allowed_by)


CALLS: Final = (
    Call(
        asker="caller",
        asked="gateway",
        known_by="API key, looked up by keyed hash on each call",
        allowed_by="the signed credential table, compiled from the rules",
    ),
    Call(
        asker="gateway",
        asked="published routes, passports and blobs",
        known_by="nobody is trusted: signatures and digests of all that is read",
        allowed_by="the trust root that the gateway pins, and its own decision over the passport",
    ),
    Call(
        asker="gateway",
        asked="control plane (telemetry and events)",
        known_by="the gateway's identity key seals each statement",
        allowed_by="role gateway may speak of telemetry only",
    ),
    Call(
        asker="control plane",
        asked="private keys",
        known_by="the unlock secret",
        allowed_by="each role signs its own statements only",
    ),
    Call(
        asker="training job",
        asked="secrets",
        known_by="the run that the control plane started",
        allowed_by="declared in the project and granted, each read on record",
    ),
    Call(
        asker="training job",
        asked="everything else",
        known_by="no network, and only declared files: there is nothing to ask",
        allowed_by="the sandbox",
    ),
    Call(
        asker="control plane",
        asked="OpenID provider",
        known_by="TLS, and the issuer's signed tokens",
        allowed_by="the provider's description, accepted by an administrator",
    ),
    Call(
        asker="command line on the same machine",
        asked="workspace",
        known_by="",
        allowed_by="",
        missing="whoever can read its files acts as the owner: file permissions are the only check (N02)",
    ),
    Call(
        asker="control plane",
        asked="SQLite database and blobs on disk",
        known_by="",
        allowed_by="",
        missing="file permissions only; changes are found by hashes, reading is not prevented",
    ),
)


def coverage(plant: Plant, *, url: str = "") -> Reply:
    """Say which calls and commands are authenticated and authorised, and which are not yet.

    Args:
        plant: The control plane.
        url: Address of a running control plane; each of its routes is then asked without a credential.

    Raises:
        Unavailable: Nobody answers there.
        NotVerified: It does not say which routes it has.
    """
    calls = [_row(call) for call in CALLS]
    commands = [_command(command) for command in COMMANDS]
    routes = list(_probed(plant, url.rstrip("/"))) if url else []
    parts = [*calls, *commands, *routes]
    bare = [each for each in parts if not each["covered"]]
    columns = ("what", "who asks", "known by", "allowed by", "covered", "missing")
    keys = ("what", "asker", "known_by", "allowed_by", "covered", "missing")
    rows = [tuple({True: "yes", False: "no"}.get(each[key], each[key]) for key in keys) for each in parts]
    says = f"{len(parts) - len(bare)} of {len(parts)} are covered; {len(bare)} are not yet."
    says += "" if url else " Routes were not asked: name a running control plane with --url."
    document = {"calls": calls, "commands": commands, "routes": routes, "uncovered": len(bare), "probed": bool(url)}
    open_routes = any(not each["covered"] for each in routes)
    tables = (Table(title="Coverage", columns=columns, rows=rows),)
    return Reply(says=says, document=document, tables=tables, exit_code=1 if open_routes else 0)


def _row(call: Call) -> dict[str, Any]:
    about = {"what": call.asked, "asker": call.asker, "known_by": call.known_by, "allowed_by": call.allowed_by}
    return about | {"covered": call.covered, "missing": call.missing}


def _command(command: Command) -> dict[str, Any]:
    """Say how a command is covered when it is asked for over the network; locally the workspace's files decide."""
    words = "command " + " ".join(command.words)
    if command.opens != "workspace":
        known, allowed, missing = "not offered over the network", "not offered over the network", ""
    elif command.action in NAMES:
        known, allowed, missing = "token, API key or certificate", f"the rules, as {command.action}", ""
    else:
        known, allowed = "token, API key or certificate", ""
        missing = f"{command.action} is no action of the schema: it is denied to everybody"
    return {
        "what": words,
        "asker": "whoever asks over the network",
        "known_by": known,
        "allowed_by": allowed,
        "covered": not missing,
        "missing": missing,
    }


def _probed(plant: Plant, url: str) -> Iterator[dict[str, Any]]:
    """Ask each route without a credential, and yield what it answered."""
    for method, path in _routes(plant, url):
        if path.startswith(PUBLIC):
            yield _route(method, path, "nobody: it is public", covered=True, missing="")
            continue
        asked = "/".join("x" if part.startswith("{") else quote(part) for part in path.split("/"))
        try:
            status, _ = plant.web.get(url + asked) if method == "get" else plant.web.post(url + asked, {})
        except HoldfastError as error:
            yield _route(method, path, "", covered=False, missing=f"it could not be asked: {error.message}")
            continue
        covered = status == UNAUTHENTICATED
        missing = "" if covered else f"it answers {status} to somebody unknown, not {UNAUTHENTICATED}"
        yield _route(method, path, "refuses whom it does not know" if covered else "", covered=covered, missing=missing)


def _route(method: str, path: str, known: str, *, covered: bool, missing: str) -> dict[str, Any]:
    about = {"what": f"{method.upper()} {path}", "asker": "somebody without a credential", "known_by": known}
    return about | {"allowed_by": "the rules" if covered else "", "covered": covered, "missing": missing}


def _routes(plant: Plant, url: str) -> Iterator[tuple[str, str]]:
    """Yield method and path of each route that a running control plane says it has."""
    status, body = plant.web.get(url + OPENAPI)
    try:
        document = json.loads(body) if status == HTTP_OK else {}
        paths = document["paths"]
        found = [(method, path) for path, methods in paths.items() for method in methods if method in {"get", "post"}]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotVerified("it does not say which routes it has", place=url + OPENAPI) from error
    yield from found
