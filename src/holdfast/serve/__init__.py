"""Serve: a call becomes an answer, if signed evidence says that this model may give it and the guards let both pass.

`Gateway` answers, `Loader` and `Watcher` bring what it answers with up to date, `Recorder` keeps what happened,
`GUARDS` lists every condition a route table may put on calls and answers. All of it is the data plane: no database, no
training code, no private release key.

Each name is loaded when it is first used: the control plane hashes keys and reads events as a gateway does, and holds
nothing that answers with models.
"""

from typing import TYPE_CHECKING, Final

from holdfast.core.lazy import first_used

if TYPE_CHECKING:
    from holdfast.serve.exchange import HttpRequest, HttpResponse
    from holdfast.serve.gateway import Gateway
    from holdfast.serve.ground import Ground
    from holdfast.serve.guards import GUARDS
    from holdfast.serve.loader import Loader, Watcher
    from holdfast.serve.loading import Pins
    from holdfast.serve.recorder import Recorder

__all__ = [
    "GUARDS",
    "Gateway",
    "Ground",
    "HttpRequest",
    "HttpResponse",
    "Loader",
    "Pins",
    "Recorder",
    "Watcher",
]

_HOMES: Final = {
    "GUARDS": "guards",
    "Gateway": "gateway",
    "Ground": "ground",
    "HttpRequest": "exchange",
    "HttpResponse": "exchange",
    "Loader": "loader",
    "Pins": "loading",
    "Recorder": "recorder",
    "Watcher": "loader",
}
__getattr__ = first_used(__name__, _HOMES, globals())
