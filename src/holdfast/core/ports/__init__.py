"""What stages may use of the world: protocols that adapters implement and tests simulate.

A port says what a thing does, never how. Only `app` and `edge` choose an implementation.
"""

from holdfast.core.ports.bills import Bills, Holder, Sought, Surroundings
from holdfast.core.ports.keys import Authority, Keys, KeyStore, Signer
from holdfast.core.ports.recognising import Recognised, Recogniser, no_recogniser
from holdfast.core.ports.sandbox import (
    GIB,
    MIB,
    TIERS,
    Job,
    JobEnd,
    JobResult,
    Limits,
    Predict,
    Sandbox,
    Tier,
    TierReport,
    Workspace,
    no_protected_key,
    no_secret,
    no_token_key,
)
from holdfast.core.ports.service import Answered, Answers, Jobs, JobState, Secrets, Sessions, Task, Web
from holdfast.core.ports.sources import Asking, Page, Puller
from holdfast.core.ports.storing import Blobs, Ledger, Storage
from holdfast.core.ports.time import Clock, Entropy

__all__ = [
    "GIB",
    "MIB",
    "TIERS",
    "Answered",
    "Answers",
    "Asking",
    "Authority",
    "Bills",
    "Blobs",
    "Clock",
    "Entropy",
    "Holder",
    "Job",
    "JobEnd",
    "JobResult",
    "JobState",
    "Jobs",
    "KeyStore",
    "Keys",
    "Ledger",
    "Limits",
    "Page",
    "Predict",
    "Puller",
    "Recognised",
    "Recogniser",
    "Sandbox",
    "Secrets",
    "Sessions",
    "Signer",
    "Sought",
    "Storage",
    "Surroundings",
    "Task",
    "Tier",
    "TierReport",
    "Web",
    "Workspace",
    "no_protected_key",
    "no_recogniser",
    "no_secret",
    "no_token_key",
]
