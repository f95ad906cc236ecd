"""The loader: brings a gateway's state up to date over ports, and says on record when it could not.

If a step of `loading` fails, the old state goes on until its own lease ends, narrowed to what a believed newer table
still allows: its revocations, credentials and guards hold at once, even if one of its releases cannot be served.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from holdfast.core.errors import HoldfastError, NotVerified, Unavailable
from holdfast.core.needs import Offered, unmet
from holdfast.core.resilience import check_resilience
from holdfast.core.routes import CERTIFICATE, TOKEN, ModelRoute
from holdfast.engines.repository import TIMESTAMP_NAME
from holdfast.serve.credentials import CredentialTable
from holdfast.serve.events import Noted
from holdfast.serve.gateway import Gateway
from holdfast.serve.ground import Ground
from holdfast.serve.guards import Chains, build_chains, readmitted
from holdfast.serve.guards.surroundings import Cells, LocalCells, Nonces, Surroundings
from holdfast.serve.identities import Identities, by_proof
from holdfast.serve.loading import (
    Believed,
    Memory,
    Named,
    Package,
    Pins,
    Published,
    believe,
    steady,
    unpack,
    warm,
)
from holdfast.serve.state import Release, Route, Runtime, State

RETRY_S: Final = 5.0  # before a published state that was refused is tried again unchanged


@dataclass(slots=True, kw_only=True)
class Loader:
    """Loads what is published into a gateway."""

    published: Published
    memory: Memory
    runtime: Runtime
    pins: Pins
    ground: Ground
    gateway: Gateway
    nonces: Nonces  # what all workers have seen of signed requests
    cells: Cells = field(default_factory=LocalCells)  # what all workers have counted
    clients: frozenset[str] = frozenset()  # that the newest table knows
    offered: Callable[[Iterable[str]], Offered] | None = None  # what is here, with the versions of these libraries

    def refresh(self) -> None:
        """Load what is published now and swap it in; on any failure go on as before, say so, and put it on record.

        Raises:
            HoldfastError: Why the published state may not be served.
        """
        now = self.ground.clock.now()
        try:
            believed = believe(self.published, self.pins, self.memory.recall(), now)
            # Kept before anything is served by it, so that no crash in between lets an older table in again.
            self.memory.keep(believed.remembered)
        except Exception as error:
            self._refused(error, now)
            raise
        try:
            state, consents = self._state(believed, now)
            # The same for what persons have allowed: once a release answers, an older one needs a newer word.
            self.memory.keep(msgspec.structs.replace(believed.remembered, consents=consents))
        except Exception as error:
            self.gateway.narrow(believed.revoked, self._narrowed(believed))
            self._refused(error, now)
            raise
        before = self.gateway.state
        self.gateway.swap(state)
        self._loaded(before, state, now)
        table = believed.table
        self.clients = frozenset([each.id for each in table.credentials] + [each.id for each in table.identities])
        self.ground.watched.keep_only(frozenset(state.releases))
        served = ", ".join(sorted(release.short for release in state.releases.values())) or "nothing"
        self.ground.log.note(
            Noted(time=now, kind="state.loaded", caller="gateway", detail=f"epoch {state.epoch} serves {served}")
        )

    def _loaded(self, before: State | None, state: State, now: datetime) -> None:
        """Put on record what was verified, and which releases began and ended to answer."""
        words = f"epoch {state.epoch}: the table, {len(state.releases)} releases and their passports"
        self.ground.log.note(Noted(time=now, kind="signature.verified", caller="gateway", detail=words))
        self.unloaded(before, kept=frozenset(state.releases))
        self._models("model.loaded", state, frozenset(before.releases) if before is not None else frozenset())

    def unloaded(self, before: State | None, kept: frozenset[str] = frozenset()) -> None:
        """Put on record which releases of a state answer no more."""
        if before is not None:
            self._models("model.unloaded", before, kept)

    def _models(self, kind: str, state: State, aside: frozenset[str]) -> None:
        for route in state.routes.values():
            for release in (route.baseline, route.candidate):
                if release is not None and release.digest not in aside:
                    noted = Noted(
                        time=self.ground.clock.now(),
                        kind=kind,
                        caller=f"release:{release.short}",
                        model=route.name,
                        detail=f"release {release.digest}, model {release.model_digest}",
                    )
                    self.ground.log.note(noted)

    def _refused(self, error: Exception, now: datetime) -> None:
        """Tell the gateway and the record why; an exception of no known kind is as good a reason as any."""
        code = error.code if isinstance(error, HoldfastError) else "HF000"
        detail = str(error) if isinstance(error, HoldfastError) else f"{type(error).__name__}: {error}"
        self.gateway.hold(code)
        self.ground.log.note(Noted(time=now, kind=f"state.refused.{code}", caller="gateway", detail=detail))
        if isinstance(error, NotVerified):
            self.ground.log.note(Noted(time=now, kind="signature.refused", caller="gateway", detail=detail))

    def _state(self, believed: Believed, now: datetime) -> tuple[State, dict[str, datetime]]:
        """Return the new state, and the newest consent to a release of each model."""
        loaded: dict[str, Release] = {}
        consents = dict(believed.remembered.consents)
        for route in believed.table.models:  # before a byte of a model is read
            self._check_needs(route)
        for named in [named for route in believed.table.models for named in _named(route)]:
            package = unpack(self.published, self.pins, believed, named, now)
            if package.consent is not None:
                consents[named.model] = max(package.consent, consents.get(named.model, package.consent))
            if named.release not in loaded:
                loaded[named.release] = self._release(package)
        permits = (release.permit.expires for release in loaded.values())
        state = State(
            epoch=believed.table.epoch,
            trust=believed.trust,
            lease=min([believed.until, *permits]),
            routes={route.name: _route(route, loaded) for route in believed.table.models},
            chains=self._chains(believed, loaded),
        )
        return state, consents

    def _release(self, package: Package) -> Release:
        standing = self._standing(package)
        model = standing.model if standing is not None else warm(self.runtime, package)
        return Release(
            digest=package.digest,
            signature=package.signature,
            profile=package.profile,
            model=model,
            model_digest=package.model_digest,
            permit=package.permit,
            steady=standing.steady if standing is not None else steady(model, package.signature, self.ground.monotonic),
        )

    def _check_needs(self, route: ModelRoute) -> None:
        """Check that this machine offers what a route declares.

        Raises:
            Unavailable: It does not, with everything that is lacking.
        """
        if route.needs is None:
            return
        if self.offered is None:  # nobody looked: what was not compared is not met
            raise Unavailable("what the model needs was not compared with what is here", place=route.name)
        lacking = unmet(route.needs, self.offered(route.needs.libraries))
        if lacking:
            raise Unavailable(
                f"this machine does not offer what the model needs: {'; '.join(lacking)}",
                place=route.name,
                remedy="Serve it where it is there, or change [needs] and release again.",
            )

    def _standing(self, package: Package) -> Release | None:
        """Return what answers already, if its model is of the same bytes and under the same signature."""
        state = self.gateway.state
        if self.gateway.is_safe:  # what led there may have been that very model in memory
            return None
        for release in state.releases.values() if state is not None else ():
            if (release.model_digest, release.signature) == (package.model_digest, package.signature):
                return release
        return None

    def _narrowed(self, believed: Believed) -> Chains | None:
        """Return the newer table's guards around the older one's releases.

        Where they cannot be built, as by a gateway that does not know one of them, the older guards go on, and let in
        whom the newer table lets in; None where not even that can be read.
        """
        state = self.gateway.state
        try:
            surroundings = self._surroundings(believed, state.releases if state is not None else {})
        except Exception:  # noqa: BLE001 - whatever it is, what the table revokes must be obeyed
            return None
        try:
            return build_chains(believed.table.guards, surroundings)
        except Exception:  # noqa: BLE001 - the same
            return readmitted(state.chains, surroundings) if state is not None else None

    def _chains(self, believed: Believed, releases: Mapping[str, Release]) -> Chains:
        return build_chains(believed.table.guards, self._surroundings(believed, releases))

    def _surroundings(self, believed: Believed, releases: Mapping[str, Release]) -> Surroundings:
        table = believed.table
        identified = by_proof(table.identities)
        return Surroundings(
            credentials=CredentialTable(self.ground.credential_key, table.credentials),
            identities=Identities(
                trust=believed.trust,
                issuer=self.pins.origin,
                domain=table.trust_domain,
                ended=frozenset(table.ended),
                terminator_key=self.ground.terminator_key,
                by_token=identified[TOKEN],
                by_certificate=identified[CERTIFICATE],
            ),
            cells=self.cells,
            signatures={digest: release.signature for digest, release in releases.items()},
            spaces={digest: each.profile.space for digest, each in releases.items() if each.profile.space is not None},
            watched=self.ground.watched,
            log=self.ground.log,
            nonces=self.nonces,
            clock=self.ground.clock,
            monotonic=self.ground.monotonic,
            tell=self._tell,
            features=self.ground.features,
            draw=self.ground.draw,
        )

    def _tell(self, kind: str, client: str, detail: str, correlation: str = "") -> None:
        """Put on record what a guard has to say about a client, and about which call."""
        noted = Noted(
            time=self.ground.clock.now(), kind=kind, caller=f"client:{client}", correlation=correlation, detail=detail
        )
        self.ground.log.note(noted)


def _named(route: ModelRoute) -> list[Named]:
    """Return the releases of a route, each with its passport."""
    found = [Named(model=route.name, release=route.baseline, passport=route.passport)]
    if route.candidate is not None and route.candidate_passport is not None:
        found.append(Named(model=route.name, release=route.candidate, passport=route.candidate_passport))
    return found


def _route(route: ModelRoute, loaded: Mapping[str, Release]) -> Route:
    candidate = loaded[route.candidate] if route.candidate is not None else None
    if route.resilience is not None:  # a rule that cannot be obeyed is found now, not when the model has failed
        for release in (loaded[route.baseline], candidate):
            if release is not None:
                check_resilience(route.resilience, release.signature)
    return Route(
        name=route.name,
        baseline=loaded[route.baseline],
        candidate=candidate,
        share=route.candidate_share,
        plan=route.plan,
        salt=route.salt,
        segment={name: frozenset(values) for name, values in route.segment.items()},
        experiment=route.experiment,
        mirrored=route.mirrored,
        resilience=route.resilience,
    )


@dataclass(slots=True, kw_only=True)
class Watcher:
    """Looks after a gateway's state: loads what is newly published, and ends what has no lease any more."""

    loader: Loader
    complain: Callable[[Exception], None]  # told why a published state is refused
    _seen: object = None
    _retry_at_s: float | None = None  # when what was refused is tried again; None while nothing is

    def look(self) -> None:
        """Look once; never raises."""
        ground, gateway = self.loader.ground, self.loader.gateway
        ground.watched.work(ground.monotonic)
        before = gateway.state
        if gateway.expire(ground.clock.now()):
            self.loader.unloaded(before)
            ground.log.note(Noted(time=ground.clock.now(), kind="state.lease-over", caller="gateway"))
        # The stamp is taken before reading: a document replaced meanwhile has another one at the next look.
        stamp, now_s = self.loader.published.stamp(TIMESTAMP_NAME), ground.monotonic()
        if stamp == self._seen and (self._retry_at_s is None or now_s < self._retry_at_s):
            return
        self._seen, self._retry_at_s = stamp, None
        try:
            self.loader.refresh()
        except Exception as error:  # noqa: BLE001 - whatever it is, the watcher must go on watching
            self._retry_at_s = now_s + RETRY_S
            self.complain(error)
