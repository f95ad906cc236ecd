"""Keys: of the stages, and of those who call the gateway."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON
from holdfast.lifecycle.commands.persons import PROPOSAL

_CHECKPOINT: Final = Option(
    name="checkpoint", says="a checkpoint from before the compromise that was kept elsewhere", kind="path"
)

COMMANDS: Final = (
    Command(
        words=("keys",),
        does="list the keys: role, algorithm, window, custody; never a secret",
        verb="holdfast.lifecycle.records:keys",
        authority="anyone who can read the workspace",
        action="keys.read",
        changes=False,
    ),
    Command(
        words=("key", "rotate"),
        does="make new keys for a role, or for all that are due; the old ones verify until the overlap is over",
        verb="holdfast.lifecycle.rotation:rotate",
        authority="the root key",
        action="keys.rotate",
        options=(
            Option(name="role", says="role whose keys get successors, or all", argument=True),
            Option(name="due", says="all keys held here that are due", kind="flag", default=False),
            Option(name="overlap", says="how long the old keys still verify, like 7d or 12h", default="7d"),
            Option(name="days", says="days until the new keys end", kind="int", default=365),
            PROPOSAL,
        ),
    ),
    Command(
        words=("key", "compromise"),
        does="withdraw a key that somebody else may hold, and say which releases and deployments rest on it",
        verb="holdfast.lifecycle.compromise:compromise",
        authority="the root key",
        action="keys.compromise",
        options=(
            Option(name="keyid", says="the key, by the beginning of its id", argument=True, required=True),
            REASON,
            Option(name="since", says="from when on somebody else may have held it; now, if left out"),
            Option(name="restate", says="state again what is known from before", kind="flag", default=False),
            _CHECKPOINT,
            PROPOSAL,
        ),
    ),
    Command(
        words=("key", "resign"),
        does="state again, by the new key and one's own, what a compromised key had said before it was compromised",
        verb="holdfast.lifecycle.compromise:resign",
        authority="the owner's key",
        action="keys.resign",
        options=(
            Option(name="keyid", says="the compromised key", argument=True, required=True),
            Option(name="reason", says="why it is believed, in a sentence that stays on record", required=True),
            _CHECKPOINT,
        ),
    ),
    Command(
        words=("key", "custody"),
        does="move the keys of the stages into a signer, a token or a service: new keys there, the old ones end",
        verb="holdfast.lifecycle.custody:custody",
        authority="the root key",
        action="keys.custody",
        options=(
            Option(name="store", says="signer, hsm, kms or vault", argument=True, required=True),
            Option(name="socket", says="where the signer listens; in the workspace if left out", kind="path"),
            Option(name="module", says="the token's PKCS#11 library", kind="path"),
            Option(name="token", says="the token's label"),
            Option(name="pin-file", says="the token's user PIN, in a file of its own", kind="path"),
            Option(
                name="service",
                says="awskms://REGION[/PREFIX], or vault://HOST/MOUNT[/PREFIX]?token_file=FILE; the signer may use one",
            ),
            Option(name="overlap", says="how long the old keys still verify", default="0s"),
        ),
    ),
    Command(
        words=("key", "destroy"),
        does="destroy the private halves of keys that have retired or were revoked, and wrapping keys with a successor",
        verb="holdfast.lifecycle.custody:destroy_ended",
        authority="the owner's key",
        action="keys.destroy",
    ),
    Command(
        words=("key", "attest"),
        does="put on record how the keys are kept, as evidence on a release that a policy may demand",
        verb="holdfast.lifecycle.custody:attest",
        authority="the stage keys",
        action="keys.attest",
        options=(Option(name="release", says="digest of the release; the newest if left out", argument=True),),
    ),
    Command(
        words=("signer",),
        does="run the signer: a process that holds the keys of the stages and signs only what each role may say",
        verb="holdfast.app:signer",
        authority="none",
        action="keys.operate",
        opens="folder",
        options=(
            Option(name="unlock-with", says="the unlock file of its keys, like a systemd credential", kind="path"),
            Option(name="passphrase-from", says="a file with their passphrase instead", kind="path"),
            Option(name="uid", says="another user whose processes may ask it", kind="int"),
        ),
    ),
    Command(
        words=("key", "due"),
        does="list the keys that should be rotated by now, and why",
        verb="holdfast.lifecycle.rotation:keys_due",
        authority="anyone who can read the workspace",
        action="keys.read",
        changes=False,
    ),
    Command(
        words=("key", "rewrap"),
        does="protect the keys with another secret: a passphrase, or a new random file, which a service may wrap",
        verb="holdfast.lifecycle.rotation:rewrap",
        authority="the owner's key",
        action="keys.rewrap",
        options=(
            Option(name="new-passphrase-file", says="the new passphrase; a new unlock file if left out", kind="path"),
            Option(
                name="wrapped-by",
                says="a service whose key encrypts the new file: pkcs11:token=LABEL?module-path=FILE&pin-source=FILE, "
                "awskms://… or vault://…",
            ),
            Option(name="signer", says="the keys of the signer, which must not run", kind="flag", default=False),
        ),
    ),
    Command(
        words=("key", "issue"),
        does="issue an API key for callers of the gateway; it is shown once",
        verb="holdfast.lifecycle.promotion:issue_key",
        authority="the stage keys",
        action="endpoint.grant",
        options=(
            Option(name="client", says="who will use it", argument=True, required=True),
            Option(name="days", says="days until it expires", kind="int", default=30),
            Option(name="operations", says="what it may be used for: infer, look (commas)", default="infer,look"),
        ),
    ),
    Command(
        words=("cert", "issue"),
        does="issue a TLS certificate by the workspace's own authority; its key stays in a file of its own",
        verb="holdfast.lifecycle.certificates:issue",
        authority="the owner's key",
        action="certificates.issue",
        options=(
            Option(name="name", says="what it is called", argument=True, required=True),
            Option(name="san", says="DNS names, IP addresses, spiffe:// ids (commas)", required=True),
            Option(name="days", says="days until it ends", kind="int", default=90),
            Option(name="out", says="folder for the files; in the workspace if left out", kind="path"),
        ),
    ),
    Command(
        words=("gateway", "new"),
        does="make a gateway's own keys on its own host, or its next identity; its public file is handed in",
        verb="holdfast.app:gateway_new",
        authority="none",
        action="endpoint.operate",
        opens="folder",
        options=(
            Option(name="name", says="what it is called: a-z, 0-9 and -", argument=True, required=True),
            Option(name="days", says="days until the identity ends", kind="int", default=365),
        ),
    ),
    Command(
        words=("gateway", "enrol"),
        does="have the root keys vouch for a gateway's public file, and issue its certificate",
        verb="holdfast.lifecycle.gateways:enrol",
        authority="the root key",
        action="trust.change",
        options=(
            Option(name="file", says="the gateway's public file", kind="path", argument=True, required=True),
            Option(name="out", says="new folder for what it needs; holds a secret", kind="path", required=True),
            Option(name="days", says="days until the certificate ends", kind="int", default=90),
            PROPOSAL,
        ),
    ),
    Command(
        words=("gateway", "remove"),
        does="let a gateway go: its identity and its certificate end now, what it told goes on to verify",
        verb="holdfast.lifecycle.gateways:remove",
        authority="the root key",
        action="trust.change",
        options=(
            Option(name="name", says="the gateway", argument=True, required=True),
            REASON,
            PROPOSAL,
        ),
    ),
    Command(
        words=("gateways",),
        does="list the gateways: identity, certificate, and when each was last heard",
        verb="holdfast.lifecycle.gateways:gateways",
        authority="anyone who can read the workspace",
        action="endpoint.read",
        changes=False,
    ),
    Command(
        words=("cert", "list"),
        does="list the certificates that were issued, and how near their end each is",
        verb="holdfast.lifecycle.certificates:listed",
        authority="anyone who can read the workspace",
        action="certificates.read",
        changes=False,
    ),
    Command(
        words=("cert", "renew"),
        does="issue a certificate again in its place, or all that are due",
        verb="holdfast.lifecycle.certificates:renew",
        authority="the owner's key",
        action="certificates.issue",
        options=(
            Option(name="name", says="the certificate", argument=True),
            Option(name="due", says="all that are due", kind="flag", default=False),
        ),
    ),
    Command(
        words=("cert", "check"),
        does="put on record which certificates are near their end",
        verb="holdfast.lifecycle.certificates:check",
        authority="anyone who can read the workspace",
        action="certificates.check",
    ),
    Command(
        words=("cert", "verify"),
        does="say whether a certificate is this authority's, is inside its window, and says a name",
        verb="holdfast.lifecycle.certificates:verify_certificate",
        authority="anyone who can read the workspace",
        action="certificates.read",
        changes=False,
        options=(
            Option(name="file", says="the certificate, PEM", kind="path", argument=True, required=True),
            Option(name="name", says="the name of whoever presents it", required=True),
        ),
    ),
)
