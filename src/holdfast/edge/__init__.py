"""Composition root of the data plane: the gateway as a process of its own.

Chooses adapters, starts threads and a server, and decides nothing: what may answer is `serve.loading`'s to decide, what
a request meets, `serve.gateway`'s. The process needs the published folder, the pinned root keys, its own identity, its
key for reading and the credential key. It has no database, no training code and no private release key, and starts no
process once it is ready.

The supervisor forks workers before anything heavy is imported: that is why this module imports inside its functions.
Each worker loads for itself, listens once it has loaded, and is ready when it has something to serve.
"""

from holdfast.edge.assembly import assemble, read_root
from holdfast.edge.config import EdgeConfig, config_of, tls_of
from holdfast.edge.serving import Running, command, serve, start
from holdfast.edge.worker import Worker

__all__ = [
    "EdgeConfig",
    "Running",
    "Worker",
    "assemble",
    "command",
    "config_of",
    "read_root",
    "serve",
    "start",
    "tls_of",
]
