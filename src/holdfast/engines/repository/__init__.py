"""What gateways trust, carried as a TUF repository: bytes in, verified metadata out; no files, no sockets, no clock.

The control plane writes with `writing`, a gateway reads with `reading`; both take TUF's formats and signature rules
from python-tuf's Metadata API. The repository carries and freshens documents. What may answer is still decided by the
seals inside them and by `decide`.

========== ======================= ==========================================================================
role       signed by               says
========== ======================= ==========================================================================
root       root keys, offline      which keys sign for which role, and how many persons must
targets    root keys, offline      what is revoked for good, and who signs `routing`
routing    registry key, online    the trust document (sealed by the root keys), the route table, the policy's bytes
snapshot   registry key, online    which versions of targets and routing belong together; its version: the epoch
timestamp  registry key, online    the newest snapshot, until the lease ends
========== ======================= ==========================================================================
"""

from holdfast.engines.repository import lean  # noqa: F401 - before all others
from holdfast.engines.repository.proposal import Proposal, read_proposal, sign_proposal, told
from holdfast.engines.repository.reading import (
    POLICY_NAME,
    REVOKED_NAME,
    ROUTES_NAME,
    TIMESTAMP_NAME,
    TRUST_NAME,
    Reached,
    Repository,
    Versions,
    check_offline,
    read_repository,
)
from holdfast.engines.repository.writing import (
    Offline,
    Release,
    countersigned,
    first_root,
    next_root,
    online_keys,
    root_name,
    write_release,
    write_targets,
)

__all__ = [
    "POLICY_NAME",
    "REVOKED_NAME",
    "ROUTES_NAME",
    "TIMESTAMP_NAME",
    "TRUST_NAME",
    "Offline",
    "Proposal",
    "Reached",
    "Release",
    "Repository",
    "Versions",
    "check_offline",
    "countersigned",
    "first_root",
    "next_root",
    "online_keys",
    "read_proposal",
    "read_repository",
    "root_name",
    "sign_proposal",
    "told",
    "write_release",
    "write_targets",
]
