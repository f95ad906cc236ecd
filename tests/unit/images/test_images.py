"""Images: what their layers come to, that every byte has its digest, and what an attacker puts into them."""

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from bench.secret_corpus import TOKENS, Draw
from tests.unit.images.made import APK, DPKG, OS, Layout, digest, layer, member, saved

from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.engines import tar_headers
from holdfast.engines.images import layers
from holdfast.engines.images.layout import Place, images
from holdfast.engines.images.scan import Found, look_through

TOKEN = TOKENS["github-classic"](Draw(5))
BASE = layer(
    member("etc/os-release", OS),
    member("var/lib/dpkg/status", DPKG),
    member("usr/bin/su", b"\0", mode=0o4755),
    member(
        "usr/lib/python3/dist-packages/Pillow-9.0.0.dist-info/METADATA", b"Name: Pillow\nVersion: 9.0.0\n\nName: no"
    ),
    member("app/node_modules/@a/b/package.json", json.dumps({"name": "@a/b", "version": "1.2.3"}).encode()),
)


def scanned(path: Path) -> Found:
    """Return what the one image at a path holds."""
    place = Place(path)
    (image,) = images(place)
    return look_through(place, image)


def made(folder: Path, *parts: bytes, **config: Any) -> Found:
    """Return what an image of these layers holds."""
    layout = Layout(folder)
    return scanned(layout.index(layout.image(*parts, **config)))


@pytest.mark.requirement("SUP-06", by="holdfast.engines.images.packages:listed")
def test_packages_of_each_kind_are_listed_with_their_ecosystem(tmp_path: Path) -> None:
    """Debian by source package and release, Alpine by origin, Python and npm by their own descriptions."""
    found = made(tmp_path / "deb", BASE)
    assert [(each.ecosystem, each.name, each.version) for each in found.packages] == [
        ("Debian:12", "openssl", "3.0.11-1~deb12u1"),
        ("PyPI", "pillow", "9.0.0"),
        ("npm", "@a/b", "1.2.3"),
    ]
    assert found.setuid == ("usr/bin/su",)
    assert found.user == ""
    assert found.created is not None
    alpine = layer(member("etc/os-release", b"ID=alpine\nVERSION_ID=3.18.4\n"), member("lib/apk/db/installed", APK))
    apk = made(tmp_path / "apk", alpine)
    assert [(each.ecosystem, each.name) for each in apk.packages] == [
        ("Alpine:v3.18", "musl"),
        ("Alpine:v3.18", "openssl"),
    ]


@pytest.mark.parametrize("packed", [True, False])
def test_folder_tar_and_saved_image_say_the_same(tmp_path: Path, packed: bool) -> None:
    """An OCI layout as a folder and as a tar, and what `docker save` writes."""
    layout = Layout(tmp_path / "oci")
    folder = layout.index(layout.image(BASE, packed=packed))
    whole = tmp_path / "oci.tar"
    with tarfile.open(whole, "w") as archive:
        archive.add(folder, arcname=".")
    docker = saved(tmp_path / "docker.tar", [BASE])
    assert scanned(folder).packages == scanned(whole).packages == scanned(docker).packages != ()


@pytest.mark.requirement("SUP-06", by="holdfast.engines.images.layers:Tree.remove")
def test_whiteouts_remove_what_lower_layers_brought_and_nothing_else(tmp_path: Path) -> None:
    """One file, a folder with all below it, an opaque folder; what the same layer brings stays."""
    upper = layer(
        member("usr/lib/python3/dist-packages/.wh.Pillow-9.0.0.dist-info"),
        member("app/node_modules/.wh..wh..opq"),
        member("app/node_modules/c/package.json", b'{"name":"c","version":"2.0.0"}'),
        member("usr/bin/.wh.su"),
    )
    found = made(tmp_path / "i", BASE, upper)
    assert [each.name for each in found.packages] == ["openssl", "c"]
    assert found.setuid == ()
    again = layer(member("etc/.wh.os-release"), member("etc/os-release", b"ID=debian\nVERSION_ID=13\n"))
    assert made(tmp_path / "j", BASE, again).packages[0].ecosystem == "Debian:13"


def test_a_file_replaces_a_folder_and_a_link_takes_its_target(tmp_path: Path) -> None:
    """Whatever had the name before is gone; a hard link is the file it names."""
    replaced = layer(
        member("app", b"now a file"), member("usr/bin/doas", b"", type=tarfile.LNKTYPE, linkname="usr/bin/su")
    )
    found = made(tmp_path / "i", BASE, replaced)
    assert "npm" not in {each.ecosystem for each in found.packages}
    assert found.setuid == ("usr/bin/doas", "usr/bin/su")


@pytest.mark.requirement("ACC-09", by="holdfast.engines.images.scan:look_through")
def test_a_secret_is_found_in_every_layer_also_where_a_later_one_removes_it(tmp_path: Path) -> None:
    """What was copied in and deleted is still handed to whoever pulls the image; so is the configuration."""
    first, second = layer(member("root/.npmrc", f"//registry/:x={TOKEN}\n".encode())), layer(member("root/.wh..npmrc"))
    found = made(tmp_path / "i", BASE, first, second)
    assert [leak.path for leak in found.leaks] == ["layer 2/root/.npmrc"]
    told = made(tmp_path / "j", BASE, Env=[f"CI={TOKEN}"])
    assert [leak.path for leak in told.leaks] == ["configuration"]


@pytest.mark.guarantee("G64")
@pytest.mark.requirement("SUP-06", by="holdfast.engines.images.layers:lay")
def test_a_changed_byte_anywhere_is_refused(tmp_path: Path) -> None:
    """In the manifest, the configuration, a stored layer, or what a layer unpacks to."""
    layout = Layout(tmp_path / "i")
    folder = layout.index(layout.image(BASE))
    for path in sorted((folder / "blobs" / "sha256").iterdir()):
        good = path.read_bytes()
        path.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
        with pytest.raises((NotVerified, InvalidInput)):
            scanned(folder)
        path.write_bytes(good)
    assert scanned(folder).packages
    other = saved(tmp_path / "docker.tar", [BASE])
    data = other.read_bytes()
    other.write_bytes(data.replace(b"Version: 3.0.11", b"Version: 9.0.11", 1))
    with pytest.raises(NotVerified, match="does not unpack"):
        scanned(other)


def test_a_layer_that_is_swapped_for_another_of_the_image_is_refused(tmp_path: Path) -> None:
    """Manifest and configuration must name the same layers in the same order."""
    layout = Layout(tmp_path / "i")
    described = layout.image(BASE, layer(member("x", b"1")))
    manifest = json.loads((layout.folder / "blobs" / "sha256" / described["digest"][7:]).read_bytes())
    manifest["layers"].reverse()
    with pytest.raises(NotVerified, match="does not unpack"):
        scanned(layout.index(layout.put(json.dumps(manifest).encode())))
    manifest["layers"].pop()
    with pytest.raises(NotVerified, match="other layers"):
        scanned(layout.index(layout.put(json.dumps(manifest).encode())))


def test_names_that_lead_out_are_listed_and_touch_nothing(tmp_path: Path) -> None:
    """Nothing is extracted; a name with `..` or a link to what is not there is an entry no honest image has."""
    odd = layer(
        member("../../etc/passwd", b"root::0:0"),
        member("a/../../b", b"x"),
        member("/etc/os-release", OS),
        member("h", b"", type=tarfile.LNKTYPE, linkname="../../x"),
        member("dev/sda", b"", type=tarfile.BLKTYPE),
        member("pipe", b"", type=tarfile.FIFOTYPE),
        member("s", b"", type=tarfile.SYMTYPE, linkname="/etc/shadow"),
    )
    found = made(tmp_path / "i", BASE, odd)
    assert [what for _, what in found.odd] == ["a name that leads out of the image"] * 2 + [
        "a hard link to what is not there"
    ]
    assert found.devices == ("dev/sda", "pipe")
    assert not (tmp_path.parent / "etc").exists()


def test_what_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, entries, a header of megabytes, removal again and again, a list of packages without end."""
    monkeypatch.setattr(layers, "MAX_UNPACKED", 1 << 20)
    with pytest.raises(InvalidInput, match="unpacks to too much"):
        made(tmp_path / "a", layer(member("zeros", bytes(4 << 20))))
    monkeypatch.undo()
    monkeypatch.setattr(layers, "MAX_ENTRIES", 5)
    with pytest.raises(InvalidInput, match="too many files"):
        made(tmp_path / "b", layer(*(member(str(n), b"x") for n in range(9))))
    monkeypatch.undo()
    monkeypatch.setattr(layers, "MAX_WORK", 50)
    with pytest.raises(InvalidInput, match="removes too much"):
        made(tmp_path / "c", BASE, layer(*(member(".wh.usr", b"") for _ in range(99))))
    monkeypatch.undo()
    monkeypatch.setattr(tar_headers, "MAX_LONG", 4096)
    with pytest.raises(InvalidInput, match="a header of"):
        made(tmp_path / "d", layer(member("n" * 8192, b"x")))
    monkeypatch.setattr(layers, "MAX_KEPT", 100)
    with pytest.raises(InvalidInput, match="list of packages"):
        made(tmp_path / "e", BASE)


def test_what_is_not_read_is_said_and_never_clean(tmp_path: Path) -> None:
    """No package, a database of RPM, a broken layer; damaged and empty files are no images."""
    assert "no package" in made(tmp_path / "a", layer(member("bin/app", b"\0"))).unread[0][1]
    assert "RPM" in made(tmp_path / "b", BASE, layer(member("var/lib/rpm/rpmdb.sqlite", b"\0"))).unread[0][1]
    layout = Layout(tmp_path / "c")
    described = layout.image(BASE)
    manifest = json.loads((layout.folder / "blobs" / "sha256" / described["digest"][7:]).read_bytes())
    manifest["layers"] = [layout.put(b"\x28\xb5\x2f\xfdrest")]
    with pytest.raises(InvalidInput, match="cannot be read"):
        scanned(layout.index(layout.put(json.dumps(manifest).encode())))
    manifest["layers"] = [layout.put(zstandard.compress(BASE))]
    assert scanned(layout.index(layout.put(json.dumps(manifest).encode()))).packages
    manifest["layers"] = [layout.put(gzip.compress(BASE)[:200])]
    with pytest.raises(InvalidInput, match="cannot be read"):
        scanned(layout.index(layout.put(json.dumps(manifest).encode())))
    for data in (b"", b"not a tar", layer(member("x", b"1"))):
        (tmp_path / "bad.tar").write_bytes(data)
        with pytest.raises(InvalidInput):
            scanned(tmp_path / "bad.tar")


@pytest.mark.parametrize(
    "index",
    [
        "[]",
        "{}",
        '{"manifests":[]}',
        '{"manifests":[{"digest":"md5:00","size":1}]}',
        "{" * 2000,
        '{"manifests":[{"digest":1}]}',
    ],
)
def test_an_index_that_says_nothing_is_refused(tmp_path: Path, index: str) -> None:
    """Of another shape, empty, with other digests."""
    layout = Layout(tmp_path / "i")
    (layout.folder / "index.json").write_text(index)
    with pytest.raises(InvalidInput):
        images(Place(layout.folder))


def test_every_platform_of_an_index_is_an_image_and_statements_are_none(tmp_path: Path) -> None:
    """Two platforms under a nested index; a manifest of platform unknown is a statement about another."""
    layout = Layout(tmp_path / "i")
    one = layout.image(BASE) | {"platform": {"os": "linux", "architecture": "amd64"}}
    two = layout.image(BASE, layer(member("x", b"1"))) | {"platform": {"os": "linux", "architecture": "arm64"}}
    said = layout.image(layer(member("y", b"1"))) | {"platform": {"os": "unknown", "architecture": "unknown"}}
    nested = layout.put(json.dumps({"manifests": [one, two, said]}).encode(), "application/vnd.oci.image.index.v1+json")
    found = images(Place(layout.index(nested)))
    assert [image.name for image in found] == ["linux/amd64", "linux/arm64"]
    assert digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
