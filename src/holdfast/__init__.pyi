from holdfast.app import init
from holdfast.app import open_plant as open_workspace
from holdfast.app.scanning import scan_paths
from holdfast.client import Client
from holdfast.control_plane import ControlPlane
from holdfast.core.artifact import Artifact, Digest, Kind, digest_bytes
from holdfast.core.control import Control
from holdfast.core.errors import HoldfastError
from holdfast.core.evidence import Evidence, Finding, Measure
from holdfast.core.passport import open_passport
from holdfast.core.policy import Denial, Permit, Policy, decide, parse_policy
from holdfast.core.project import Project, parse_project
from holdfast.core.seal import Verified, seal, unseal
from holdfast.core.trust import Trust
from holdfast.lifecycle.bom_impact import impact
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.registry_catalogue import entry_of
from holdfast.lifecycle.runner import run

__all__ = [
    "Artifact",
    "Client",
    "Control",
    "ControlPlane",
    "Denial",
    "Digest",
    "Evidence",
    "Finding",
    "HoldfastError",
    "Kind",
    "Measure",
    "Permit",
    "Policy",
    "Project",
    "Trust",
    "Verified",
    "decide",
    "digest_bytes",
    "entry_of",
    "impact",
    "init",
    "open_passport",
    "open_workspace",
    "parse_policy",
    "parse_project",
    "promote",
    "run",
    "scan_paths",
    "seal",
    "unseal",
]

__version__: str
