from holdfast.app import init as init
from holdfast.app import open_plant
from holdfast.client import Client as Client
from holdfast.core.artifact import Artifact as Artifact
from holdfast.core.artifact import Digest as Digest
from holdfast.core.artifact import Kind as Kind
from holdfast.core.artifact import digest_bytes as digest_bytes
from holdfast.core.control import Control as Control
from holdfast.core.errors import HoldfastError as HoldfastError
from holdfast.core.evidence import Evidence as Evidence
from holdfast.core.evidence import Finding as Finding
from holdfast.core.evidence import Measure as Measure
from holdfast.core.passport import open_passport as open_passport
from holdfast.core.policy import Denial as Denial
from holdfast.core.policy import Permit as Permit
from holdfast.core.policy import Policy as Policy
from holdfast.core.policy import decide as decide
from holdfast.core.policy import parse_policy as parse_policy
from holdfast.core.project import Project as Project
from holdfast.core.project import parse_project as parse_project
from holdfast.core.seal import Verified as Verified
from holdfast.core.seal import seal as seal
from holdfast.core.seal import unseal as unseal
from holdfast.core.trust import Trust as Trust
from holdfast.lifecycle.promotion import promote as promote
from holdfast.lifecycle.runner import run as run

__version__: str
open_workspace = open_plant
