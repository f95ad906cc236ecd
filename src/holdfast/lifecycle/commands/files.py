"""Files of anybody: models and data sets signed and verified without a workspace, as in continuous integration."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

_PATH: Final = Option(name="path", says="the folder or file", kind="path", argument=True, required=True)
_SIGNATURE: Final = Option(
    name="signature", says="the signature; model.sig in the folder, or FILE.sig, if left out", kind="path"
)
_SECRET: Final = Option(name="passphrase-file", says="a file with the passphrase that opens the key", kind="path")

COMMANDS: Final = (
    Command(
        words=("files", "sign"),
        does="sign a model, a data set, any folder or file, as an OpenSSF Model Signing bundle",
        verb="holdfast.files:sign",
        authority="none",
        action="artifacts.read",
        changes=False,
        opens="nothing",
        options=(
            _PATH,
            Option(
                name="key", says="a folder that `files key` made, or an encrypted PEM file", kind="path", required=True
            ),
            _SIGNATURE,
            Option(name="name", says="what it is called in the signature; the folder's name if left out"),
            Option(
                name="shard-size",
                says="hash and sign large files in shards of so many bytes, on every processor; 0 for whole files",
                kind="int",
                default=0,
            ),
            _SECRET,
        ),
    ),
    Command(
        words=("files", "verify"),
        does="verify the signature over a folder or file, name by name: by a public key or a workspace's trust",
        verb="holdfast.files:verify",
        authority="none",
        action="artifacts.read",
        changes=False,
        opens="nothing",
        options=(
            _PATH,
            _SIGNATURE,
            Option(name="key", says="the signer's public key, PEM", kind="path"),
            Option(name="trust", says="a workspace's trust document, instead of a key", kind="path"),
            Option(name="root-file", says="the workspace's root.json, which vouches for the trust", kind="path"),
            Option(name="fingerprint", says="of the root, got by another way"),
            Option(
                name="proof",
                says="that the ledger took the signature in: its time counts, not the present",
                kind="path",
            ),
            Option(name="role", says="whose signature counts: release for models, ingest for data", default="release"),
            Option(name="name", says="the name it must have been signed as; of a single file its own, if left out"),
        ),
    ),
    Command(
        words=("attestations", "verify"),
        does="verify exported attestations offline, and that they are about a file",
        verb="holdfast.files:attestations",
        authority="none",
        action="audit.read",
        changes=False,
        opens="nothing",
        options=(
            Option(name="folder", says="what `attestations export` wrote", kind="path", argument=True, required=True),
            Option(name="fingerprint", says="of the root, got by another way", required=True),
            Option(name="file", says="each statement must be about this file", kind="path"),
        ),
    ),
    Command(
        words=("files", "key"),
        does="make a signing key of one's own, encrypted at rest, and its public half as PEM",
        verb="holdfast.files:key",
        authority="none",
        action="person.new",
        opens="nothing",
        options=(
            Option(name="folder", says="folder to make", kind="path", argument=True, required=True),
            Option(name="owner", says="who answers for the key", default="signing"),
            Option(name="days", says="how long it is valid", kind="int", default=365),
            _SECRET,
        ),
    ),
)
