"""gzip: answers that are asked for so, bodies that are sent so."""

import gzip
import itertools
import json
import zlib

import pytest
from asking import CHART, PATIENT
from exchange import refused

from app.sandbox import family

PACKED = gzip.compress(b"{}", mtime=0)
LONG = {**family.PATIENT, "name": [{"family": "Example", "text": "long " * 2000}]}


def send(exchange, body, coding):
    return exchange.call("PUT", PATIENT, body, Content_Encoding=coding)


@pytest.mark.parametrize(
    ("accepts", "coding"),
    [
        ("gzip", "gzip"),
        ("gzip;q=1.0,deflate;q=0.6,identity;q=0.3", "gzip"),
        ("br, *", "gzip"),
        ("identity", None),
        ("gzip;q=0", None),
        ("br", None),
        ("", None),
    ],
)
def test_an_answer_is_packed_for_who_takes_it(exchange, accepts, coding):
    """A long answer is packed where that is asked for, and says the same."""
    exchange.call("PUT", PATIENT, LONG)

    answer = exchange.get(PATIENT, Accept_Encoding=accepts)

    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.json()["name"] == LONG["name"]
    assert (int(answer.headers["content-length"]) < 2000) is bool(coding)


def test_a_short_answer_is_sent_as_it_is(exchange, patient):
    """What fits into a few packets is not packed."""
    assert "content-encoding" not in exchange.get(PATIENT, Accept_Encoding="gzip").headers


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
        ("gzip", lambda body: gzip.compress(body[:20]) + gzip.compress(body[20:])),
    ],
)
def test_a_packed_body_is_unpacked(exchange, coding, pack):
    """What was sent packed stands as if it had been sent as it is."""
    answer = send(exchange, pack(json.dumps(LONG).encode()), coding)

    assert answer.status_code == 201, answer.text
    assert exchange.get(PATIENT).json()["name"] == LONG["name"]


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_does_not_go_off(exchange, layers):
    """A few bytes that would unpack to a gigabyte are refused as too large, at once."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(1024)) + packer.flush()
    for _ in range(layers - 1):
        bomb = gzip.compress(bomb)
    limited = bomb[:190_000] if layers == 1 else bomb

    refused(send(exchange, limited, ",".join(["gzip"] * layers)), 413 if layers == 1 else 415)


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", b"{}", 400),
        ("gzip", PACKED[:-9], 400),
        ("gzip", b"", 400),
        ("gzip", PACKED + b"trailing", 400),
        ("br", b"{}", 415),
        ("zstd", b"{}", 415),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_refused(exchange, coding, body, status):
    """Not gzip, not whole, or packed otherwise: nothing is stored."""
    refused(send(exchange, body, coding), status)

    assert exchange.rows("SELECT * FROM resource") == []


def test_the_capability_statement_is_packed(exchange):
    """The longest answer that every client asks for first."""
    answer = exchange.get(f"{CHART}/metadata", Accept_Encoding="gzip")

    assert int(answer.headers["content-length"]) < len(answer.content) / 5
    assert answer.json()["fhirVersion"] == "4.0.1"


def test_what_unpacks_to_nothing_ends(exchange):
    """Members without content are counted, and so are the bytes that come packed."""
    empty = gzip.compress(b"", mtime=0)

    for body in (empty * 2000, zlib.compress(b"") * 5000):
        refused(send(exchange, body, "gzip"), 413)

    def endless():
        packer = zlib.compressobj(0, wbits=31)
        yield packer.flush(zlib.Z_SYNC_FLUSH)
        while True:
            yield packer.flush(zlib.Z_FULL_FLUSH) or bytes([0, 0, 0, 255, 255]) * 1000

    answer = exchange.http.put(
        f"/{PATIENT}", content=itertools.islice(endless(), 1000),
        headers={"Content-Type": "application/fhir+json", "Content-Encoding": "gzip"},
    )  # fmt: skip
    refused(answer, 413)
