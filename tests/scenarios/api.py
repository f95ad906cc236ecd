"""What scenarios of the API work with: the application over a real workspace, and keys for each role."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import anyio
import httpx
from tests.scenarios.callers import ROLES, issue

from holdfast.faces.http.door import Door, Terms
from holdfast.faces.http.server import serving
from holdfast.lifecycle.plant import Plant

HOST: Final = "holdfast.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API of one workspace, asked without a socket."""

    plant: Plant
    door: Door
    keys: Mapping[str, str]  # by role

    def ask(
        self,
        method: str,
        target: str,
        *,
        role: str = "administrator",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Make one request; `role=""` presents nothing."""
        own = {"authorization": f"Bearer {self.keys[role]}"} if role else {}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.door)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
                return await client.request(method, target, headers={**own, **(headers or {})}, **more)

        return anyio.run(send)

    def describe(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        found: dict[str, Any] = json.loads(self.ask("GET", "/v1/openapi.json").content)
        return found


@contextmanager
def opened(plant: Plant, **terms: Any) -> Iterator[Api]:
    """Open the API over a workspace."""
    keys = {role: issue(plant, name=role, role=role) for role in ROLES}
    with serving(
        plant, Terms(hosts=frozenset({HOST}), **{"rate_per_s": 1e6, "burst": 1e6, "failure_burst": 1e6, **terms})
    ) as door:
        yield Api(plant=plant, door=door, keys=keys)
