"""Verify an evidence pack with Python's standard library and openssl: no network, nothing of Holdfast.

    python3 verify.py [--fingerprint sha256:…] [FOLDER]

FOLDER is the unpacked pack (default: where this file lies). `--fingerprint` is that of root.json, got by another
way than the pack: from the gateway that was installed with it, or from the person who answers for the workspace.
Without it everything is checked and the last step still says that nobody vouches for the root.

Read this file before you believe it, or do its steps by hand: README.md names the commands. Steps:

 1. Every file is listed in MANIFEST.sha256, and the ledger's key has signed the list (MANIFEST.note).
 2. The root keys of root.json have signed the trust document.
 3. A trusted ledger key has signed the checkpoint.
 4. Every entry of the audit log is in the checkpoint's Merkle tree (RFC 6962), and each stream is whole from its start.
 5. Every envelope that an entry names is here and signed, at that time, by a trusted key of the role that may say it.
 6. The release derives from recorded artifacts without a gap, none of them revoked.
 7. The release's files have the digests that its manifest lists, and the release key has signed names and digests.
 8. The policies here are among those that the trust document accepts.

Exit code: 0 everything holds, 1 something does not, 3 everything holds but the root was not pinned.
"""

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

GENESIS = "0" * 64
ENTRIES, PROOFS = "ledger/entries.jsonl", "ledger/proofs.json"
MANIFEST, NOTE = "MANIFEST.sha256", "MANIFEST.note"
EVIDENCE, AUTHORIZATION = "https://holdfast.dev/evidence/v1", "https://holdfast.dev/authorization/v1"
TRUST = "https://holdfast.dev/trust/v1"
NAMED = {"evidence.filed": EVIDENCE, "authorization.filed": AUTHORIZATION}
UNPINNED = 3


class Wrong(Exception):
    """Something does not check out."""


class Pack:
    """The folder, and what has been verified of it so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scratch = Path(tempfile.mkdtemp(prefix="verify-pack-"))
        self.keys: dict[str, dict[str, Any]] = {}
        self.trust: dict[str, Any] = {}
        self.size, self.root = 0, b""
        self.streams: dict[str, list[dict[str, Any]]] = {}

    def read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise Wrong(f"{name} is missing") from error

    def json(self, name: str) -> Any:
        return parse(self.read(name), name)

    def signed(self, key: dict[str, Any], message: bytes, signature: bytes) -> bool:
        """Ask openssl whether a key has signed a message."""
        pem = self.scratch / f"{key['keyid']}.pem"
        if not pem.exists():
            if hashlib.sha256(base64.b64decode(key["public"])).hexdigest() != key["keyid"]:
                raise Wrong(f"key {key['keyid'][:16]} does not have this id")
            lines = [key["public"][at : at + 64] for at in range(0, len(key["public"]), 64)]
            pem.write_text("-----BEGIN PUBLIC KEY-----\n" + "\n".join(lines) + "\n-----END PUBLIC KEY-----\n")
        said, sig = self.scratch / "message", self.scratch / "signature"
        said.write_bytes(message)
        sig.write_bytes(signature)
        if key["algorithm"] == "ed25519":
            how = ["pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-in", said, "-sigfile", sig]
        else:
            how = ["dgst", "-sha256", "-verify", pem, "-signature", sig, said]
        return subprocess.run(["openssl", *map(str, how)], capture_output=True, check=False).returncode == 0


def parse(document: bytes, name: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise Wrong(f"{name} names a value twice")
        return dict(pairs)

    try:
        return json.loads(document, object_pairs_hook=once)
    except ValueError as error:
        raise Wrong(f"{name} is not JSON: {error}") from error


def note_of(pack: Pack, name: str) -> tuple[list[str], dict[str, Any]]:
    """Return the text of a C2SP signed note that a trusted ledger key has signed, and that key."""
    text, separator, block = pack.read(name).rpartition(b"\n\n")
    text += b"\n"
    origin = pack.trust["workspace"]
    for line in block.decode().split("\n") if separator else []:
        if not line.startswith(f"\u2014 {origin} "):
            continue
        blob = base64.b64decode(line.rpartition(" ")[2])
        for key in pack.keys.values():
            raw = base64.b64decode(key["public"])[-32:]
            hashed = hashlib.sha256(origin.encode() + b"\n\x01" + raw).digest()[:4]
            if key["role"] == "ledger" and blob[:4] == hashed and pack.signed(key, text, blob[4:]):
                return text.decode().split("\n"), key
    raise Wrong(f"{name} is not signed by a trusted ledger key")


def payload_of(pack: Pack, document: bytes, name: str, predicate: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the predicate of a DSSE envelope and the trusted keys that signed it."""
    envelope = parse(document, name)
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    signers = [
        pack.keys[each["keyid"]]
        for each in envelope["signatures"]
        if each["keyid"] in pack.keys and pack.signed(pack.keys[each["keyid"]], message, base64.b64decode(each["sig"]))
    ]
    statement = parse(payload, name)
    if statement["_type"] != "https://in-toto.io/Statement/v1" or statement["predicateType"] != predicate:
        raise Wrong(f"{name} is a statement of another type")
    return statement, signers


def check_manifest(pack: Pack) -> str:
    listed = {}
    for line in pack.read(MANIFEST).decode().splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    found = {
        path.relative_to(pack.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in pack.folder.rglob("*")
        if path.is_file() and path.relative_to(pack.folder).as_posix() not in {MANIFEST, NOTE}
    }
    for name in sorted(listed.keys() | found.keys()):
        if listed.get(name) != found.get(name):
            what = "changed" if name in listed and name in found else "missing" if name in listed else "not listed"
            raise Wrong(f"{name} is {what}")
    return f"{len(found)} files are the listed ones"


def check_trust(pack: Pack) -> str:
    root = pack.json("root.json")
    pack.keys = {key["keyid"]: key for key in root["keys"] if key["role"] == "root"}
    statement, signers = payload_of(pack, pack.read("trust.dsse.json"), "trust.dsse.json", TRUST)
    trust = statement["predicate"]
    owners = {key["owner"] for key in signers}
    if root["root_threshold"] < 1 or len(owners) < root["root_threshold"]:
        raise Wrong(f"{len(owners)} root keys have signed the trust document")
    if trust["workspace"] != root["workspace"]:
        raise Wrong("the trust document is another workspace's")
    pack.trust = trust
    pack.keys = {key["keyid"]: key for key in trust["keys"] if key["keyid"] not in trust.get("revoked", ())}
    return f"version {trust['version']} with {len(pack.keys)} keys is signed by {len(owners)} root key(s)"


def check_list_signature(pack: Pack) -> str:
    lines, _ = note_of(pack, NOTE)
    summary = pack.json("summary.json")
    wanted = "manifest sha256:" + hashlib.sha256(pack.read(MANIFEST)).hexdigest()
    if lines[0] != "holdfast evidence pack v1" or lines[1] != f"release {summary['release']}" or lines[2] != wanted:
        raise Wrong(f"{NOTE} speaks of another list")
    return "the ledger's key has signed the list of files"


def check_checkpoint(pack: Pack) -> str:
    lines, key = note_of(pack, "ledger/checkpoint")
    origin, size, root, time = lines[:4]
    moment = datetime.fromisoformat(time.removeprefix("time "))
    if origin != pack.trust["workspace"]:
        raise Wrong("the checkpoint is another ledger's")
    if not within(key, moment):
        raise Wrong("the checkpoint was signed outside its key's window")
    pack.size, pack.root = int(size), base64.b64decode(root)
    return f"{pack.size} entries at {time.removeprefix('time ')}"


def within(key: dict[str, Any], moment: datetime) -> bool:
    return datetime.fromisoformat(key["not_before"]) <= moment < datetime.fromisoformat(key["not_after"])


def check_entries(pack: Pack) -> str:
    proofs, last, count = pack.json(PROOFS), -1, 0
    heads: dict[str, tuple[int, str]] = {}
    for document in pack.read(ENTRIES).splitlines():
        entry = parse(document, ENTRIES)
        position = entry["position"]
        if position <= last:
            raise Wrong(f"entry {position} is out of order")
        last, count = position, count + 1
        leaf = hashlib.sha256(b"\x00" + document).digest()
        path = [bytes.fromhex(each) for each in proofs.get(str(position), ())]
        if root_from(leaf, position, pack.size, path) != pack.root:
            raise Wrong(f"entry {position} is not in the signed tree")
        name = entry["stream"]
        if (entry["stream_position"], entry["stream_previous"]) != heads.get(name, (0, GENESIS)):
            raise Wrong(f"the history of {name} has a gap at entry {position}")
        heads[name] = (entry["stream_position"] + 1, hashlib.sha256(document).hexdigest())
        pack.streams.setdefault(name, []).append(entry)
    return f"{count} entries in {len(heads)} streams are in the signed tree, without gaps"


def root_from(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root that an audit path leads to (RFC 9162, 2.1.3.2)."""
    node, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return b""
        if node & 1 or node == last:
            found = hashlib.sha256(b"\x01" + sibling + found).digest()
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\x01" + found + sibling).digest()
        node, last = node >> 1, last >> 1
    return found if last == 0 else b""


def envelopes(pack: Pack) -> Iterator[tuple[dict[str, Any], str]]:
    for entries in pack.streams.values():
        for entry in entries:
            if entry["kind"] in NAMED and entry["stream"].startswith("sha256:"):
                yield entry, entry["body"]["envelope"].removeprefix("sha256:")


def check_envelopes(pack: Pack) -> str:
    count, named = 0, set()
    for entry, digest in envelopes(pack):
        name = f"envelopes/{digest}.json"
        document = pack.read(name)
        if hashlib.sha256(document).hexdigest() != digest:
            raise Wrong(f"{name} is not what entry {entry['position']} names")
        statement, signers = payload_of(pack, document, name, NAMED[entry["kind"]])
        said, moment = statement["predicate"], datetime.fromisoformat(entry["time"])
        role = said["control"].partition(".")[0] if entry["kind"] == "evidence.filed" else "person"
        able = [key for key in signers if key["role"] == role and within(key, moment)]
        if role == "person":
            able = [key for key in able if key["owner"] == said["person"]]
        if not able:
            raise Wrong(f"{name} is not signed by a trusted key of role {role} at its time")
        subjects = [each["digest"]["sha256"] for each in statement["subject"]]
        if subjects != [entry["stream"].removeprefix("sha256:")] or said["subject"] != entry["stream"]:
            raise Wrong(f"{name} is about something else than entry {entry['position']}")
        named.add(name)
        count += 1
    beyond = {f"envelopes/{path.name}" for path in (pack.folder / "envelopes").glob("*")} - named
    if beyond:
        raise Wrong(f"{min(beyond)} is named by no entry")
    return f"{count} signed statements are by whose they must be"


def check_lineage(pack: Pack) -> str:
    waiting, seen = [pack.json("summary.json")["release"]], set()
    while waiting:
        digest = waiting.pop()
        if digest in seen:
            continue
        seen.add(digest)
        history = pack.streams.get(digest, [])
        recorded = [entry["body"] for entry in history if entry["kind"] == "artifact.recorded"]
        if not recorded:
            raise Wrong(f"nothing records what {digest} is")
        revoked = [entry for entry in history if entry["kind"] == "artifact.revoked"]
        if revoked:
            raise Wrong(f"{recorded[0]['kind']} {digest} was revoked in entry {revoked[0]['position']}")
        waiting += [parent["digest"] for body in recorded for parent in body["parents"]]
    return f"{len(seen)} artifacts, each recorded with what it derives from, none revoked"


def check_release(pack: Pack) -> str:
    release = pack.json("summary.json")["release"]
    document = pack.read("release.manifest.json")
    if "sha256:" + hashlib.sha256(document).hexdigest() != release:
        raise Wrong("release.manifest.json is not the release")
    files = {file["path"]: file["digest"].removeprefix("sha256:") for file in parse(document, "manifest")["files"]}
    for name, digest in files.items():
        if hashlib.sha256(pack.read(f"release/{name}")).hexdigest() != digest:
            raise Wrong(f"release/{name} is not the released file")
    there = {
        path.relative_to(pack.folder / "release").as_posix()
        for path in (pack.folder / "release").rglob("*")
        if path.is_file()
    }
    if there != files.keys():
        raise Wrong(f"release/ holds other files: {min(there ^ files.keys())}")
    bundle = pack.read("model.sig")
    signed = [entry for entry in pack.streams[release] if entry["kind"] == "release.signed"]
    if not signed or signed[-1]["body"]["bundle"] != "sha256:" + hashlib.sha256(bundle).hexdigest():
        raise Wrong("model.sig is not the signature that the ledger names")
    envelope = parse(bundle, "model.sig")["dsseEnvelope"]
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    (signature,) = envelope["signatures"]
    key = pack.keys.get(signature["keyid"], {"role": ""})
    if key["role"] != "release" or not pack.signed(key, message, base64.b64decode(signature["sig"])):
        raise Wrong("model.sig is not signed by a trusted release key")
    resources = parse(payload, "model.sig")["predicate"]["resources"]
    if {each["name"]: each["digest"] for each in resources} != files:
        raise Wrong("model.sig lists other files")
    return f"{len(files)} files are the signed ones"


def check_policies(pack: Pack) -> str:
    names = sorted((pack.folder / "policies").glob("*.toml"))
    for path in names:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if path.stem != digest or f"sha256:{digest}" not in pack.trust["policies"]:
            raise Wrong(f"policies/{path.name} is not an accepted policy")
    if not names:
        raise Wrong("there is no policy")
    return f"{len(names)} policies are accepted by the root keys"


STEPS = (
    ("files", check_manifest),
    ("trust", check_trust),
    ("list", check_list_signature),
    ("checkpoint", check_checkpoint),
    ("audit log", check_entries),
    ("statements", check_envelopes),
    ("lineage", check_lineage),
    ("release", check_release),
    ("policies", check_policies),
)


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify an evidence pack offline.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--fingerprint", help="of root.json, got by another way")
    given = parser.parse_args()
    pack = Pack(given.folder)
    for name, check in STEPS:
        try:
            print(f"{name:>11}: {check(pack)}")
        except Wrong as error:
            print(f"{name:>11}: WRONG: {error}")
            return 1
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
            print(f"{name:>11}: WRONG: it cannot be read: {type(error).__name__}: {error}")
            return 1
    fingerprint = "sha256:" + hashlib.sha256(pack.read("root.json")).hexdigest()
    if given.fingerprint is None:
        print(f"       root: UNPINNED: compare {fingerprint} with one that you got by another way")
        return UNPINNED
    if given.fingerprint != fingerprint:
        print(f"       root: WRONG: this root is {fingerprint}")
        return 1
    print("       root: it is the one you named")
    return 0


if __name__ == "__main__":
    sys.exit(main())
