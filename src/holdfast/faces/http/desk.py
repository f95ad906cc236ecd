"""The desk: who asks, whether they may, and the call itself, with its answer kept where it may be asked for again.

Everything here runs in a worker thread, as the ledger does. Steps of a call: 1. may this principal? 2. was this very
request answered already? 3. call the command, or hand it to a worker. 4. keep the answer.
"""

import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from holdfast.core.access import Presented, Principal
from holdfast.core.artifact import canonical, digest_bytes
from holdfast.core.errors import Conflict, NotFound
from holdfast.core.ports import Answered
from holdfast.core.quota import STREAM, quotas_of
from holdfast.faces.http.known import Known
from holdfast.faces.http.offers import Offer, resource_of
from holdfast.faces.http.pages import PAGE, Cursors, page_of, stale
from holdfast.faces.http.problems import problem
from holdfast.lifecycle.access import authenticate, authorise
from holdfast.lifecycle.jobs import document_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply

JSON: Final = {"content-type": "application/json"}
SEES_PLACES: Final = frozenset({"administrator", "administrators"})
"""Groups whose members are told places and remedies of errors: they may read the server's files anyway."""
SHOWN_ONCE: Final = (("key", "issue"), ("access", "key"), ("access", "token"))
"""Commands whose reply holds a secret: it is never stored, not even as the answer to a repeated request."""
FINAL_BELOW: Final = 500  # an answer of this status or above says nothing about the request: it may be made again
BUSY: Final = 429
RATE: Final = ("rate",)  # the name under which the quota of requests is known for a moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request whose sender is known."""

    principal: Principal
    correlation: str
    key: str = ""  # the idempotency key
    request: bytes = b""  # method, target and content: what must be the same when it is repeated


class Desk:
    """What the API may do with a workspace."""

    def __init__(self, plant: Plant, known: Known) -> None:
        """Serve one workspace."""
        self.plant, self.known = plant, known
        self._cursors = Cursors(plant.credential_key, plant.clock.now)  # the same in every replica of the API

    def knows(self, presented: Presented) -> bool:
        """Say whether just this was presented a moment ago, and was good."""
        return self.known.recall(("principal", presented.authorization, presented.certificate)) is not None

    def authenticated(self, presented: Presented) -> Principal:
        """Return who asks.

        Raises:
            Unauthenticated: Nobody that is known.
        """
        if presented.nonce:  # a request that may be answered once is looked at each time
            return authenticate(self.plant, presented)
        key = ("principal", presented.authorization, presented.certificate)
        found: Principal | None = self.known.recall(key)
        if found is None:
            state = self.known.state()
            found = authenticate(self.plant, presented)
            self.known.keep(key, found, state)
        return found

    def rate(self) -> int:
        """Return how many requests a second the workspace's quota allows; 0: as many as come."""
        state = self.known.state()
        found = quotas_of(self.plant.ledger.stream(STREAM)).requests_per_s
        self.known.keep(RATE, found, state)
        return found

    def known_rate(self) -> int | None:
        """Return the same as it was a moment ago, or None where nothing is known: without waiting for the ledger."""
        found: int | None = self.known.recall(RATE)
        return found

    def call(self, offer: Offer, options: Mapping[str, Any], asked: Asked) -> Answered:
        """Return the answer to a call; an error is an answer too."""
        key = ""
        try:
            authorise(self.plant, asked.principal, offer.command.action, resource_of(options))  # 1.
            if asked.key and offer.command.changes:  # 2.
                key = digest_bytes(canonical([asked.principal.name, asked.key]))
                known = self.plant.answers.begin(key, digest_bytes(asked.request))
                if known is not None:
                    return replace(known, headers={**known.headers, "idempotent-replayed": "true"})
        except Exception as error:  # noqa: BLE001 - `problem` tells ours from defects
            return self.told(error, asked)
        try:
            answer = self._answer(offer, options, asked)  # 3.
        except Exception as error:  # noqa: BLE001 - `problem` tells ours from defects
            answer = self.told(error, asked)
        if key:  # 4.
            self._keep(key, offer, answer, asked)
        return answer

    def told(self, error: Exception, asked: Asked) -> Answered:
        """Return an error as this asker may see it."""
        return problem(error, asked.correlation, whole=bool(SEES_PLACES & set(asked.principal.groups)))

    def _keep(self, key: str, offer: Offer, answer: Answered, asked: Asked) -> None:
        if answer.status >= FINAL_BELOW or answer.status == BUSY:
            self.plant.answers.forget(key)
            return
        if offer.command.words in SHOWN_ONCE:
            shown = Conflict("this was done, and its secret was shown then", remedy="Revoke it, and ask for another.")
            answer = self.told(shown, asked)
        self.plant.answers.keep(key, answer)

    def _answer(self, offer: Offer, options: Mapping[str, Any], asked: Asked) -> Answered:
        if offer.is_job:
            task = self.plant.jobs.ask(" ".join(offer.command.words), options, asked.principal.name)
            body = {"says": f"A worker carries it out as job {task.id}.", **document_of(task)}
            headers = {**JSON, "location": f"/v1/jobs/{task.id}"}
            return Answered(status=202, headers=headers, body=_encoded(body))
        plant = replace(self.plant, principal=asked.principal)
        if offer.lists:
            return self._page(plant, offer, dict(options))
        reply, document = self._run(plant, offer, options)
        return Answered(status=200, headers=JSON, body=_encoded(_body(reply, document)))

    def _run(self, plant: Plant, offer: Offer, options: Mapping[str, Any]) -> tuple[Reply, dict[str, Any]]:
        """Call the command in the asker's name; files that it reads or writes are content of request and answer."""
        given = {name.replace("-", "_"): value for name, value in options.items() if value is not None}
        module, _, name = offer.command.verb.partition(":")
        verb = getattr(import_module(module), name)
        with ExitStack() as stack:
            if not (offer.content_in or offer.content_out):
                reply: Reply = verb(plant, **given)
                return reply, dict(reply.document)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-api-")))
            if offer.content_in:
                path = folder / "content"
                path.write_text(str(given.pop(offer.content_in.replace("-", "_"))), encoding="utf-8", newline="")
                given[offer.content_in.replace("-", "_")] = path
            if offer.content_out:
                given[offer.content_out.replace("-", "_")] = folder / "answer"
            reply = verb(plant, **given)
            document = dict(reply.document)
            if offer.content_out:
                document[offer.content_out] = (folder / "answer").read_text(encoding="utf-8")
                reply = replace(reply, says="It is in the answer.")  # the words named a file that is gone
            return reply, document

    def _page(self, plant: Plant, offer: Offer, options: dict[str, Any]) -> Answered:
        """Return a page of an answer that has lists, and the cursor of the next one."""
        limit, cursor = int(options.pop("limit", PAGE)), options.pop("cursor", "")
        about = (offer.name, plant.principal.name if plant.principal else "", options)
        after = self._cursors.place(cursor, about) if cursor else None
        part: dict[str, Any] = {"last": limit + 1} if offer.in_parts else {}  # one more says whether there are more
        if offer.in_parts and after is not None:
            part["before"] = after.key[0]
        try:
            reply, document = self._run(plant, offer, options | part)
        except NotFound:
            if "before" in part:  # the row itself is gone
                raise stale() from None
            raise
        page, last = page_of(document, offer.lists, limit=limit, after=after)
        page["next"] = self._cursors.made(last, about) if last is not None else None
        return Answered(status=200, headers=JSON, body=_encoded(_body(reply, page)))


def _body(reply: Reply, document: Mapping[str, Any]) -> dict[str, Any]:
    return {"says": reply.says, "exit_code": reply.exit_code, **document}


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, default=str).encode()


def request_of(method: str, target: str, content: bytes) -> bytes:
    """Return what two requests have in common when one repeats the other."""
    return canonical([method, target, digest_bytes(content)])
