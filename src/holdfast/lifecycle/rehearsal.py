"""Rehearsals: a release answers in a gateway of its own that nobody outside can call, before it answers for anybody.

The gateway's core, its guards, its credentials and its meters are those of production, configured as the release's own
project says; only the socket is missing. What may be rehearsed is decided like everything else: by the policy
`staging`, over the same evidence, because here a model's bytes are loaded outside the sandbox.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.artifact import Digest, Kind, manifest, parse_manifest
from holdfast.core.errors import NotVerified, PolicyDenied
from holdfast.core.passport import Dossier
from holdfast.core.policy import Action, Denial, Permit, Request, decide
from holdfast.core.project import Project
from holdfast.core.routes import Credential
from holdfast.core.schema import Signature, numbers_of, texts_of
from holdfast.lifecycle.guarding import guards_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.routing import project_of
from holdfast.serve import Gateway, Ground, HttpRequest, HttpResponse
from holdfast.serve.credentials import CredentialTable, hash_api_key
from holdfast.serve.guards import Chains, build_chains
from holdfast.serve.guards.surroundings import LocalCells, LocalNonces, Surroundings
from holdfast.serve.loading import MODEL_FILES, Package, warm
from holdfast.serve.state import Release, Route, State, TrainingProfile

STAGING: Final = "staging"  # the environment, and the name of the policy that decides about it
KEYS: Final = 8  # callers of a rehearsal: each has the burst of one key, and no more
LASTS: Final = timedelta(minutes=15)  # a rehearsal that takes longer is over
LONGEST_TEXT: Final = 100  # characters of a text that is made up
ELSEWHERE: Final = "203.0.113.7"  # TEST-NET-3, RFC 5737: a caller from another machine


@dataclass(slots=True, kw_only=True)
class Rehearsal:
    """A gateway that answers with one release, and the callers that it knows."""

    project: Project
    release: Release
    gateway: Gateway
    keys: tuple[str, ...]
    stranger: str  # a key that is known, and may call another model only
    expired: str  # a key that was known
    state: State
    guarded: Callable[[Mapping[str, Signature]], Chains]  # the project's guards in front of models of these signatures

    def rows(self, count: int, seed: int) -> NDArray[np.float64]:
        """Return rows inside the declared ranges, shape (count, features); the same for the same seed."""
        draw = np.random.default_rng(seed)
        fields = self.release.signature.inputs
        low = np.array([field.minimum if field.minimum is not None else 0.0 for field in fields])
        high = np.array([np.inf if field.maximum is None else field.maximum for field in fields])
        span = np.where(np.isfinite(high), high - low, 1.0)
        rows = np.asarray(low + span * draw.random((count, len(fields))), dtype=np.float64)
        whole = np.array([field.whole is True for field in fields])
        return np.where(whole, np.clip(np.rint(rows), np.ceil(low), np.floor(high)), rows)

    def body(self, rows: NDArray[np.float64]) -> bytes:
        """Return the body of a call with these rows, shape (n, features); wider ones name an input that is not there.

        In the place of the inputs that texts become stand texts, which the rows' own numbers choose.
        """
        signature = self.release.signature
        if not texts_of(signature):
            return encode_rows(rows)
        tensors: list[dict[str, Any]] = []
        named = [(signature.inputs[place].name, place) for place in numbers_of(signature)]
        named += [("no such input", len(signature.inputs))] if rows.shape[1] > len(signature.inputs) else []
        for name, place in named:
            data = rows[:, place].tolist()
            tensors.append({"name": name, "shape": [len(rows)], "datatype": "FP64", "data": data})
        for text in texts_of(signature):
            most = min(text.hashing.most_characters, LONGEST_TEXT)
            data = [" ".join(f"{abs(value):.3f}" for value in row[text.at : text.end])[:most] for row in rows]
            tensors.append({"name": text.name, "shape": [len(rows)], "datatype": "BYTES", "data": data})
        return msgspec.json.encode({"inputs": tensors})

    def ask(self, body: bytes, key: str = "", **changed: str) -> HttpResponse:
        """Make one call to the model; `changed` names other parts of the request than a good caller's."""
        request = HttpRequest(
            method=changed.get("method", "POST"),
            path=changed.get("path", f"/v2/models/{self.project.project.name}/infer"),
            headers=((b"content-type", b"application/json"), *(((b"x-api-key", key.encode()),) if key else ())),
            body=body,
            peer=changed.get("peer", "127.0.0.1"),
        )
        return self.gateway.handle(request)

    def callers(self) -> Iterator[str]:
        """Yield the keys in turn, for ever."""
        return cycle(self.keys)


def encode_rows(rows: NDArray[np.float64]) -> bytes:
    """Return the body of a call with these rows, shape (n, features)."""
    tensor = {"name": "input", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
    return msgspec.json.encode({"inputs": [tensor]})


def rehearse(plant: Plant, dossier: Dossier) -> Rehearsal:
    """Return a gateway that answers with the release that a dossier is about.

    1. The policy `staging` permits loading it. 2. Its files hold the very model that the evidence is about. 3. The
    model answers a warm-up call. 4. Guards and limits are those of its own project.

    Raises:
        PolicyDenied: 1. fails, with every reason.
        NotVerified: 2. or 3. fails.
    """
    subject, project = dossier.subject, project_of(plant, dossier.subject)
    permit = _permitted(plant, dossier)  # 1.
    package = _package(plant, dossier, permit)  # 2.
    model = warm(plant.runtime(), package)  # 3.
    release = Release(
        digest=subject,
        signature=package.signature,
        profile=package.profile,
        model=model,
        model_digest=package.model_digest,
        permit=permit,
    )
    return _assembled(plant, project, release)  # 4.


def _permitted(plant: Plant, dossier: Dossier) -> Permit:
    policy, digest, _ = plant.load_policy(STAGING)
    request = Request(
        action=Action.SERVE, environment=STAGING, now=plant.clock.now(), nonce=plant.entropy.token(16).hex()
    )
    match decide(policy, digest, dossier, request):
        case Permit() as permit:
            return permit
        case Denial() as denial:
            reasons = tuple(str(reason) for reason in denial.reasons)
            raise PolicyDenied(f"it may not be rehearsed: {reasons[0]}", reasons=reasons, place=dossier.subject)


def _package(plant: Plant, dossier: Dossier, permit: Permit) -> Package:
    files = parse_manifest(plant.blobs.get(dossier.subject))
    inside = manifest(files.file(name) for name in MODEL_FILES).digest
    if (Kind.MODEL, inside) not in dossier.nodes[dossier.subject].parents:
        raise NotVerified("the release holds another model than the one its evidence is about", place=dossier.subject)
    model, profile, signature = (plant.blobs.get(Digest(files.file(name).digest)) for name in MODEL_FILES)
    return Package(
        digest=dossier.subject,
        permit=permit,
        consent=None,  # nobody outside is answered
        signature=msgspec.json.decode(signature, type=Signature),
        profile=msgspec.json.decode(profile, type=TrainingProfile),
        model=model,
        model_digest=Digest(files.file(MODEL_FILES[0]).digest),
    )


def _assembled(plant: Plant, project: Project, release: Release) -> Rehearsal:
    secret, now = plant.entropy.token(32), plant.clock.now()
    name = project.project.name
    keys = tuple(f"hf_rehearsal{number}" + plant.entropy.token(16).hex() for number in range(KEYS + 2))
    *own, stranger, expired = keys
    models = dict.fromkeys(keys, (name,)) | {stranger: ("another-model",)}
    ends = dict.fromkeys(keys, now + LASTS) | {expired: now}
    credentials = [
        Credential(id=f"rehearsal-{number}", hash=hash_api_key(secret, key), models=models[key], expires=ends[key])
        for number, key in enumerate(keys)
    ]
    ground = Ground(clock=plant.clock, monotonic=time.perf_counter, credential_key=secret, version=STAGING)
    table, cells = CredentialTable(secret, credentials), LocalCells()
    space = release.profile.space

    def guarded(signatures: Mapping[str, Signature]) -> Chains:
        surroundings = Surroundings(
            credentials=table,
            signatures=signatures,
            cells=cells,
            nonces=LocalNonces(since=0.0),
            clock=plant.clock,
            monotonic=time.perf_counter,
            spaces={} if space is None else dict.fromkeys(signatures, space),
        )
        return build_chains(guards_of(project), surroundings)

    state = State(
        epoch=1,
        trust=plant.trust,
        lease=min(now + LASTS, release.permit.expires),
        routes={name: Route(name=name, baseline=release)},
        chains=guarded({release.digest: release.signature}),
    )
    gateway = Gateway(ground)
    gateway.swap(state)
    return Rehearsal(
        project=project,
        release=release,
        gateway=gateway,
        keys=tuple(own),
        stranger=stranger,
        expired=expired,
        state=state,
        guarded=guarded,
    )
