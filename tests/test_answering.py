"""Answers leave in one piece, and each of them whole, whatever it looks like."""

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from contextlib import closing

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl

from app.cli.answering import Cycle, Protocol, Still

LIKE_A_HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
BODIES = {
    "/whole": [b"abc"],
    "/parts": [b"one", LIKE_A_HEAD, b"", LIKE_A_HEAD],
    "/nothing": [b""],
    "/like-a-head": [LIKE_A_HEAD],
    "/takes": [b"taken"],
    "/works": [b"done"],
    "/long": [bytes(2**20)] * 64,
    "/split": [b"abc"],
    "/fails": [b"abc"],
}


async def application(scope, receive, send):
    """Bodies in parts; /chunked without a length; /204; /takes a body first; /works for a second."""
    if scope["type"] != "http":
        return
    path = scope["path"]
    taken, more = b"", path in {"/takes", "/echo"}
    while more:
        message = await receive()
        taken, more = taken + message.get("body", b""), message.get("more_body", False)
    if path == "/works":
        await asyncio.sleep(1)
    status = 204 if path == "/204" else 200
    parts = BODIES.get(path, [b""] if status == 204 else [b"chunk", LIKE_A_HEAD])
    if path == "/echo":
        parts = [taken]
    length = [] if path == "/chunked" or status == 204 else [sum(map(len, parts))]
    headers = [(b"content-length", b"%d" % one) for one in length]
    if path == "/split":
        headers.append((b"x-said", b"a\r\nset-cookie: b"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if path == "/fails":
        raise ValueError
    for place, part in enumerate(parts):
        await asyncio.sleep(0)
        more = place + 1 < len(parts)
        await send({"type": "http.response.body", "body": part, "more_body": more})


@pytest.fixture(scope="module")
def serving():
    """A server, and the port on which it listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as opened:
        config = uvicorn.Config(application, http=Protocol, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
        thread.start()
        yield server, opened.getsockname()[1]
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def port(serving):
    return serving[1]


@pytest.mark.parametrize(
    "path",
    [
        *sorted(BODIES.keys() - {"/takes", "/works", "/long", "/split", "/fails"}),
        "/chunked",
        "/204",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_answer_arrives_whole(port, path, method):
    """On one connection, one after the other, so that nothing of one is left in the next."""
    expected = b"".join(BODIES.get(path, [] if path == "/204" else [b"chunk", LIKE_A_HEAD]))
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        for _ in range(3):
            connection.request(method, path)
            answer = connection.getresponse()
            assert answer.status == (204 if path == "/204" else 200)
            assert answer.read() == (b"" if method == "HEAD" else expected)


@pytest.mark.parametrize("path", ["/whole", "/204", "/nothing"])
def test_an_answer_is_there_before_its_connection_is_closed(port, path):
    """Who asks once and wants the connection closed still gets all of it."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as opened:
        opened.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        said = b""
        while part := opened.recv(4096):
            said += part
    assert said.startswith(b"HTTP/1.1 20")
    assert said.endswith(b"\r\n\r\n" + b"".join(BODIES.get(path, [])))


def test_a_client_is_told_to_go_on(port):
    """100 Continue is no answer, and is not kept."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as opened:
        head = (
            "POST /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        opened.sendall(head.encode() + b"ab")
        said = opened.recv(4096)
    assert said.startswith((b"HTTP/1.1 200", b"HTTP/1.1 100"))


@pytest.mark.parametrize("keeps", [True, False])
def test_head_and_body_are_one_write(keeps):
    """What is written at once is one packet, and one call of the kernel."""

    class Written:
        def __init__(self):
            self.pieces = []
            self.pause_reading = self.resume_reading = self.close = lambda: None

        def write(self, data):
            self.pieces.append(data)

    async def answered():
        made = Cycle(
            scope={"method": "GET"}, transport=kept, flow=FlowControl(kept), logger=None,
            access_logger=None, access_log=False, default_headers=[], message_event=asyncio.Event(),
            expect_100_continue=False, keep_alive=keeps, on_response=lambda: None,
        )  # fmt: skip
        length = [(b"content-length", b"4")]
        await made.send({"type": "http.response.start", "status": 200, "headers": length})
        await made.send({"type": "http.response.body", "body": b"body"})

    kept = Written()
    asyncio.run(answered())
    close = b"" if keeps else b"connection: close\r\n"
    assert kept.pieces == [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n" + close + b"\r\nbody"]


def test_a_header_with_a_line_in_it_is_not_said(port):
    """Or who chose its value would say another header, or another answer."""
    answer = said(port, b"GET /split" + HOST + b"\r\n")
    assert b"cookie" not in answer


def test_what_fails_before_the_first_of_its_body_is_answered(port):
    """Nothing has left yet, so that it can still be said."""
    answer = said(port, b"GET /fails" + HOST + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.count(b"HTTP/1.1") == 1


def said(port, request):
    """All that is answered to what was sent by who sends no more after it."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


HOST = b" HTTP/1.1\r\nHost: x\r\n"


def test_who_sends_no_more_gets_its_answer(port):
    """As small clients do: they close their side, and wait; what was asked is done and answered."""
    assert said(port, b"GET /whole" + HOST + b"\r\n").endswith(b"\r\n\r\nabc")
    two = said(port, (b"GET /whole" + HOST + b"\r\n") * 2)
    assert two.count(b"200 OK") == 2


@pytest.mark.parametrize(
    "target", ["/Patient?name=Müller".encode(), b"/Patient?name=" + b"x" * 100_000]
)
def test_what_is_no_request_is_refused_with_what_to_do(port, target):
    """A URL that was not escaped, and one that is too long, as every other refusal."""
    head, _, body = said(port, b"GET " + target + HOST + b"\r\n").partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    outcome = json.loads(body)
    assert outcome["resourceType"] == "OperationOutcome"
    assert "escape" in outcome["issue"][0]["details"]["text"]


HEAD = b"POST /takes" + HOST
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
FLOODS = {
    "headers": [HEAD, *[b"X-%d: %b\r\n" % (number, b"y" * 1000) for number in range(20_000)]],
    "one header": [HEAD + b"X: ", *[b"y" * 1000] * 20_000],
    "a URL": [b"GET /", *[b"y" * 1000] * 20_000],
    "after a body": [CHUNKED, b"0\r\n", *[b"X-%d: y\r\n" % number for number in range(2_000_000)]],
    "between pieces": [CHUNKED, *[b"1;x=%b\r\ny\r\n" % (b"y" * 1000)] * 20_000],
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_head_without_end_is_refused(port, flood):
    """Anybody can send one, before we know who it is; kept, it would take the memory of everybody."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as opened:
        if flood != "after a body":  # a request before, on the same connection
            opened.sendall(b"GET /whole" + HOST + b"\r\n")
            opened.recv(4096)
        sent = 0
        with contextlib.suppress(OSError):
            for piece in FLOODS[flood]:
                sent += opened.send(piece)
        with contextlib.suppress(OSError):  # what was still on its way here can overtake the answer
            assert opened.recv(4096)[:13] in {b"HTTP/1.1 431 ", b"HTTP/1.1 400 ", b""}

    assert sent < sum(map(len, FLOODS[flood]))


def test_what_is_long_in_small_pieces_is_taken(port):
    """A body in pieces of a hundred bytes, and a thousand requests of long heads, one after the other."""
    pieces = b"".join(b"64\r\n%b\r\n" % (b"y" * 100) for _ in range(10_000))
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as opened:
        for _ in range(3):
            opened.sendall(CHUNKED + pieces + b"0\r\n\r\n")
            assert opened.recv(4096).endswith(b"taken")
        for _ in range(200):
            opened.sendall(b"GET /whole" + HOST + b"X: " + b"y" * 5000 + b"\r\n\r\n")
            assert opened.recv(4096).endswith(b"abc")


ASKING = {
    "HTTP/2, as Java does": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n",
    "a WebSocket": b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n",
}


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize(
    "sent",
    [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
)
@pytest.mark.parametrize("split", [False, True])
def test_who_would_rather_speak_another_protocol_is_answered_in_this(port, asking, sent, split):
    """The body that comes with that wish is taken, and what is asked after it is answered."""
    request = b"POST /echo" + HOST + ASKING[asking] + sent
    pieces = [bytes([one]) for one in request] if split else [request]
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as opened:
        for _ in range(2):
            for piece in pieces:
                opened.sendall(piece)
            assert opened.recv(4096).endswith(b"\r\n\r\nabc")
        opened.sendall(request + b"GET /whole" + HOST + b"\r\n")
        said = b""
        while said.count(b"abc") < 2:
            said += opened.recv(4096)
    assert said.count(b"HTTP/1.1 200 OK") == 2


def test_a_connection_that_is_to_be_closed_is_closed_all_the_same(port):
    """What else the header says is not forgotten with the wish."""
    head = b"GET /whole" + HOST + b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as opened:
        opened.sendall(head)
        said = b"".join(iter(lambda: opened.recv(4096), b""))
    assert said.endswith(b"abc")
    assert said.count(b"HTTP/1.1") == 1


def test_a_tunnel_is_refused(port):
    """CONNECT is a wish of that kind, too, and is no request of ours."""
    for wish in (b"", ASKING["HTTP/2, as Java does"]):
        assert said(port, b"CONNECT a:80" + HOST + wish + b"\r\n").startswith(b"HTTP/1.1 400 ")


def looked(server, times):
    """As if so many looks' time had gone by without a word."""
    done = threading.Event()

    def look():
        for _ in range(times):
            server.still.look([*server.server_state.connections])
        done.set()

    loop = next(iter(server.server_state.connections)).loop
    loop.call_soon_threadsafe(look)
    assert done.wait(10)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /whole HTTP/1.1\r\nHos",
        HEAD + b"Content-Length: 10\r\n\r\nabc",
        b"GET /long" + HOST + b"\r\n",
    ],
)
def test_who_says_nothing_any_more_is_let_go(serving, begun):
    """Nothing asked, half a head, half a body, an answer that nobody takes: each kept a place for ever."""
    server, port = serving
    server.still = Still()
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as opened:
        opened.sendall(begun)
        time.sleep(0.3)  # until it is there, and an answer has filled what the kernel holds
        ours = {
            one for one in server.server_state.connections if one.client == opened.getsockname()
        }
        assert len(ours) == 1

        looked(server, 3)
        assert ours <= server.server_state.connections
        looked(server, 1)

        until(lambda: not ours & server.server_state.connections)


def test_who_goes_on_is_kept(serving):
    """A body that comes bit by bit, and a request that takes its time here, are never in the way."""
    server, port = serving
    server.still = Still()
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as slow:
        slow.sendall(HEAD + b"Content-Length: 10\r\n\r\n")
        for _ in range(10):
            time.sleep(0.02)
            looked(server, 2)
            slow.sendall(b"y")
        assert slow.recv(4096).endswith(b"taken")
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as working:
        working.sendall(b"GET /works" + HOST + b"\r\n")
        time.sleep(0.1)
        looked(server, 10)
        assert working.recv(4096).endswith(b"done")


def until(done):
    end = time.monotonic() + 10
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)
