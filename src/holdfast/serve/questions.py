"""What a caller may ask that no model answers: what is served, how it is called, whether it is ready."""

from dataclasses import dataclass

from holdfast.core.guard import Call, Refusal
from holdfast.serve import metadata, openapi
from holdfast.serve.exchange import HttpRequest, HttpResponse
from holdfast.serve.guards.inputs import ValidInput
from holdfast.serve.protocol import Malformed, Operation
from holdfast.serve.refusals import BROKEN, MALFORMED, NO_SUCH_PATH, WITHDRAWN
from holdfast.serve.replies import Replies
from holdfast.serve.state import Release, State


@dataclass(frozen=True, slots=True)
class Questions:
    """Answers questions about models, to callers who may call them."""

    replies: Replies

    def answer(self, request: HttpRequest, call: Call, state: State) -> HttpResponse:
        """Answer one question; the call names the operation and the model."""
        admitted = state.chains.look.admit(call)
        if isinstance(admitted, Refusal):
            return self.replies.refuse(request, call, admitted)
        if call.operation == Operation.INDEX:
            return self._index(request, call, state)
        route = state.routes.get(call.model)
        release = route.versioned(call.version) if route is not None else None
        if release is None:
            refusal = NO_SUCH_PATH.refusal("protocol", f"{call.model} is not served")
            return self.replies.refuse(request, call, refusal)
        if release.digest in state.withdrawn:
            return self.replies.refuse(request, call, WITHDRAWN.refusal("state"))
        if call.operation == Operation.MODEL_READY:
            return self.replies.reply(call, 200, metadata.model_ready(call.model))
        if call.operation == Operation.OPENAPI:
            return self._described(request, call, state, release)
        return self.replies.reply(call, 200, metadata.model_metadata(call.model, release.short, release.signature))

    def _described(self, request: HttpRequest, call: Call, state: State, release: Release) -> HttpResponse:
        """Describe a release as the guard on its input takes it."""
        guard = next((each for each in state.chains.call.guards if isinstance(each, ValidInput)), None)
        domain = guard.domains.get(release.digest) if guard is not None else None
        if guard is None or domain is None:
            return self.replies.refuse(request, call, BROKEN.refusal("gateway", "no guard knows the inputs"))
        about = openapi.Described(
            model=call.model,
            version=release.short,
            signature=release.signature,
            low=domain.lowest.tolist(),
            high=domain.highest.tolist(),
            max_rows=guard.max_rows,
        )
        return self.replies.reply(call, 200, openapi.describe(about))

    def _index(self, request: HttpRequest, call: Call, state: State) -> HttpResponse:
        """Answer which of the models that the caller may call are served."""
        try:
            asked = metadata.decode_index(call.body)
        except Malformed as finding:
            refusal = MALFORMED.refusal("protocol", str(finding), public=str(finding))
            return self.replies.refuse(request, call, refusal)
        rows = []
        for name in sorted(state.routes.keys() & set(call.models)):
            release = state.routes[name].baseline
            reason = WITHDRAWN.public if release.digest in state.withdrawn else ""
            if not (asked.ready and reason):
                rows.append((name, release.short, reason))
        return self.replies.reply(call, 200, metadata.index(rows))
