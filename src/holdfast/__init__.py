"""Holdfast: nothing answers in production unless signed evidence leads from the rows it learned from to its bytes.

The names in `_HOMES` are the public Python API. Each is loaded when it is first used, so that `import holdfast` costs
nothing; type checkers read them in `__init__.pyi`.

>>> import holdfast
>>> holdfast.digest_bytes(b"")[:15]
'sha256:e3b0c442'
"""

from importlib import import_module
from typing import Any, Final

__version__ = "0.1.0"

_HOMES: Final = {
    "Artifact": "holdfast.core.artifact:Artifact",
    "Client": "holdfast.client:Client",
    "Control": "holdfast.core.control:Control",
    "ControlPlane": "holdfast.control_plane:ControlPlane",
    "Denial": "holdfast.core.policy:Denial",
    "Digest": "holdfast.core.artifact:Digest",
    "Evidence": "holdfast.core.evidence:Evidence",
    "Finding": "holdfast.core.evidence:Finding",
    "HoldfastError": "holdfast.core.errors:HoldfastError",
    "Kind": "holdfast.core.artifact:Kind",
    "Measure": "holdfast.core.evidence:Measure",
    "Permit": "holdfast.core.policy:Permit",
    "Policy": "holdfast.core.policy:Policy",
    "Project": "holdfast.core.project:Project",
    "Trust": "holdfast.core.trust:Trust",
    "Verified": "holdfast.core.seal:Verified",
    "decide": "holdfast.core.policy:decide",
    "digest_bytes": "holdfast.core.artifact:digest_bytes",
    "entry_of": "holdfast.lifecycle.registry_catalogue:entry_of",
    "impact": "holdfast.lifecycle.bom_impact:impact",
    "init": "holdfast.app:init",
    "open_passport": "holdfast.core.passport:open_passport",
    "open_workspace": "holdfast.app:open_plant",
    "parse_policy": "holdfast.core.policy:parse_policy",
    "parse_project": "holdfast.core.project:parse_project",
    "promote": "holdfast.lifecycle.promotion:promote",
    "run": "holdfast.lifecycle.runner:run",
    "scan_paths": "holdfast.app.scanning:scan_paths",
    "seal": "holdfast.core.seal:seal",
    "unseal": "holdfast.core.seal:unseal",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - the one list of names


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, found = _HOMES[name].partition(":")
    value = getattr(import_module(module), found)
    globals()[name] = value  # the next use finds it here
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *_HOMES})
