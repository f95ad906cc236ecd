"""Who asks databases, object stores, witnesses and servers: none of them over a network in clear."""

import pytest

from holdfast import app
from holdfast.adapters.inference_probe import ask_models
from holdfast.adapters.object_blobs import open_store
from holdfast.adapters.web import BoundedWeb
from holdfast.adapters.witness import ask_witness
from holdfast.control_plane import ControlPlane
from holdfast.core.errors import InvalidInput

POSTGRES = "postgresql+psycopg://"


@pytest.mark.guarantee("G55")
@pytest.mark.parametrize(
    "rest",
    [
        "holdfast@db.example/holdfast",
        "holdfast@10.0.0.7:5432/holdfast",
        "holdfast@db.example/holdfast?sslmode=require",
        "holdfast@db.example/holdfast?sslmode=verify-ca",
        "holdfast@db.example/holdfast?sslmode=verify-full&sslmode=disable",
        "holdfast@127.0.0.1/holdfast?host=db.example",
        "holdfast@127.0.0.1/holdfast?hostaddr=10.0.0.7",
        "/holdfast?host=/run/postgresql,db.example",
        "/holdfast",  # wherever PGHOST says
        "/holdfast?service=plane",
    ],
)
def test_a_database_elsewhere_is_asked_only_where_its_certificate_is_verified(rest: str) -> None:
    """Weaker modes of libpq encrypt for whoever answers."""
    with pytest.raises(InvalidInput, match="without verifying who answers"):
        app.check_database(POSTGRES + rest)


@pytest.mark.parametrize(
    "rest",
    [
        "holdfast@db.example/holdfast?sslmode=verify-full&sslrootcert=/etc/db.pem",
        "holdfast@127.0.0.1:5432/holdfast",
        "holdfast@localhost/holdfast",
        "holdfast@[::1]/holdfast",
        "/holdfast?host=/run/postgresql",
    ],
)
def test_a_verified_database_and_one_of_this_machine_are_asked(rest: str) -> None:
    """By TLS, over loopback, or by its socket."""
    assert app.check_database(POSTGRES + rest) == POSTGRES + rest


@pytest.mark.guarantee("G55")
@pytest.mark.parametrize(
    "query", ["?endpoint=http://store.example", "?endpoint=http://10.0.0.7:9000&allow_http=true", "?allow_http=true"]
)
def test_an_object_store_elsewhere_is_asked_over_tls(query: str) -> None:
    """Its requests are signed; what they carry would still be read."""
    pytest.importorskip("obstore")
    with pytest.raises(InvalidInput, match="in clear"):
        open_store(f"s3://bucket/prefix{query}")


@pytest.mark.guarantee("G55")
def test_no_client_speaks_in_clear_to_another_machine() -> None:
    """Refused before anything is sent."""
    url = "http://192.0.2.1:1"
    for ask in (
        lambda: ask_witness(url, b""),
        lambda: ask_models(url, (), key="hf_key"),
        lambda: BoundedWeb().get(url),
        lambda: BoundedWeb().post(url, {}),
        lambda: ControlPlane(url, "hf_key"),
    ):
        with pytest.raises(InvalidInput, match="not the address"):
            ask()
