"""Servers that are away, slow, rude or not ours: what is said about each, in time, and nothing else."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from rude_server import HEALTH, QUICK, Exchange, RudeServer, wait_until

from CORESegLib.address import read_address
from CORESegLib.client import Client
from CORESegLib.stopping import CancelToken
from CORESegLib.transport import Transport
from CORESegLib.trouble import Trouble


def trouble_of(client: Client) -> Trouble:
    with pytest.raises(Trouble) as caught:
        client.health(CancelToken())
    return caught.value


def test_a_healthy_server_says_what_it_is(server: RudeServer) -> None:
    server.always(lambda e: e.json(200, HEALTH))
    info = server.client().health(CancelToken())
    assert (info.version, info.model, info.loaded, info.waiting) == ("0.1.0", "lite v0", True, 2)


def test_nobody_listening_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = Client(Transport(read_address(f"127.0.0.1:{taken.getsockname()[1]}"), timeouts=QUICK))
        assert trouble_of(client).kind == "refused"


def test_an_unknown_name_is_not_found() -> None:
    client = Client(Transport(read_address("nowhere.invalid"), timeouts=QUICK))
    assert trouble_of(client).kind in ("name_not_found", "timeout")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad_input", "bad_request"),
        (401, "no_access", "access"),
        (403, "forbidden", "access"),
        (404, "not_found", "not_found"),
        (413, "too_large", "too_large"),
        (429, "busy", "busy"),
        (500, "internal", "server"),
        (503, "busy", "busy"),
        (503, "checkpoint", "model"),
    ],
)
def test_a_refusal_is_told_in_the_words_of_the_server(
    server: RudeServer, status: int, code: str, kind: str
) -> None:
    server.always(lambda e: e.refuse(status, code, "It is so.", Retry_After="7"))
    trouble = trouble_of(server.client())
    assert (trouble.kind, trouble.said, trouble.remedy) == (kind, "It is so.", "Do something else.")
    assert (trouble.status, trouble.retry_after_s) == (status, 7.0)


@pytest.mark.parametrize(("status", "kind"), [(404, "not_our_server"), (502, "server"), (429, "busy")])
def test_a_refusal_in_html_is_told_in_words_of_our_own(server: RudeServer, status: int, kind: str) -> None:
    server.always(lambda e: e.send(status, b"<html>Gateway</html>", "text/html"))
    trouble = trouble_of(server.client())
    assert trouble.kind == kind
    assert "<" not in str(trouble)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<html>Log in</html>", "text/html; charset=utf-8"),
        (b"{", "application/json"),
        (b"[1]", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"{}", "application/json"),
        (b'{"versions": {"coreseg": 7}}', "application/json"),
    ],
)
def test_what_is_not_our_json_is_not_our_server(server: RudeServer, content: bytes, kind: str) -> None:
    server.always(lambda e: e.send(200, content, kind))
    assert trouble_of(server.client()).kind == "not_our_server"


def test_a_redirect_is_not_followed(server: RudeServer) -> None:
    with RudeServer() as elsewhere:
        elsewhere.always(lambda e: e.json(200, HEALTH))
        server.always(lambda e: e.send(307, b"", "text/plain", Location=f"{elsewhere.url}/coreseg/health"))
        assert trouble_of(server.client(token="secret")).kind == "not_our_server"
        assert not elsewhere.seen


def test_something_that_speaks_no_http_is_not_our_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

        threading.Thread(target=greet, daemon=True).start()
        address = read_address(f"127.0.0.1:{listening.getsockname()[1]}")
        assert trouble_of(Client(Transport(address, timeouts=QUICK))).kind == "not_our_server"


def test_a_server_that_falls_silent_is_given_up_in_time(server: RudeServer) -> None:
    server.always(lambda e: time.sleep(1.5))
    begun = time.monotonic()
    assert trouble_of(server.client()).kind == "timeout"
    assert time.monotonic() - begun < 1.4


def announce_more(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.send_header("Content-Type", "application/json")
    exchange.send_header("Content-Length", "500")
    exchange.end_headers()
    exchange.wfile.write(b'{"status": "ok"')
    exchange.cut()


def cut_in_a_chunk(exchange: Exchange) -> None:
    exchange.chunks("application/json")
    exchange.wfile.write(b"40\r\n{")
    exchange.cut()


@pytest.mark.parametrize("manners", [announce_more, cut_in_a_chunk, Exchange.cut])
def test_a_body_that_ends_early_is_asked_for_once_more_and_then_given_up(
    server: RudeServer, manners: object
) -> None:
    server.always(manners)  # type: ignore[arg-type]
    assert trouble_of(server.client()).kind == "cut"
    assert len(server.seen) == 2


def test_a_line_that_breaks_once_is_not_even_noticed(server: RudeServer) -> None:
    server.always(lambda e: e.cut() if len(server.seen) == 1 else e.json(200, HEALTH))
    assert server.client().health(CancelToken()).version == "0.1.0"


def test_what_changes_something_is_never_sent_twice(server: RudeServer) -> None:
    server.always(Exchange.cut)
    with pytest.raises(Trouble):
        server.client().submit("image", {}, CancelToken())
    assert len(server.seen) == 1


def test_an_endless_answer_is_not_read_to_its_end(
    server: RudeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("CORESegLib.server_calls.MAX_JSON_BYTES", 1 << 16)

    def pour(exchange: Exchange) -> None:
        send = exchange.chunks("application/json")
        while True:
            send(b" " * 65536)

    server.always(pour)
    assert trouble_of(server.client()).kind == "not_our_server"


@pytest.mark.parametrize(("version", "word"), [("0.0.9", "server"), ("1.0.0", "extension")])
def test_another_version_says_which_side_is_behind(server: RudeServer, version: str, word: str) -> None:
    server.always(lambda e: e.json(200, {**HEALTH, "versions": {"coreseg": version}}))
    trouble = trouble_of(server.client())
    assert trouble.kind == "version"
    assert word in trouble.remedy


def test_a_stock_monai_label_server_is_not_ours(server: RudeServer) -> None:
    server.always(lambda e: e.json(404, {"detail": "Not Found"}))
    assert trouble_of(server.client()).kind == "not_our_server"


def test_the_token_is_sent_and_shown_nowhere(server: RudeServer) -> None:
    server.always(lambda e: e.refuse(401, "no_access", "No."))
    client = server.client(token="secret-token")
    trouble = trouble_of(client)
    assert server.headers[0]["Authorization"] == "Bearer secret-token"
    assert "secret" not in f"{client._transport!r} {trouble} {trouble.details}"


def test_a_token_that_would_split_a_header_is_refused() -> None:
    with pytest.raises(Trouble):
        Transport(read_address(""), token="a\r\nX-Evil: 1")


def test_no_header_of_one_request_reaches_the_next(server: RudeServer) -> None:
    server.manners = {
        ("POST", "/coreseg/jobs"): lambda e: (e.body(), e.json(202, {"id": "a1"})),
        ("GET", "/coreseg/health"): lambda e: e.json(200, HEALTH),
    }
    client = server.client(token="t")
    client.submit("image", {"query": "x"}, CancelToken())
    client.health(CancelToken())
    assert "Content-Length" not in server.headers[1]
    assert "Content-Type" not in server.headers[1]


def test_cancelling_wakes_a_waiting_request_within_100_ms(server: RudeServer) -> None:
    server.always(lambda e: time.sleep(3))
    cancel = CancelToken()
    caught: list[tuple[str, float]] = []

    def work() -> None:
        try:
            server.client().health(cancel)
        except Trouble as trouble:
            caught.append((trouble.kind, time.monotonic()))

    worker = threading.Thread(target=work)
    worker.start()
    wait_until(lambda: bool(server.seen))
    begun = time.monotonic()
    cancel.cancel()
    worker.join(2)
    assert caught[0][0] == "cancelled"
    assert caught[0][1] - begun < 0.1


def test_what_was_cancelled_before_is_not_even_begun(server: RudeServer) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Trouble) as caught:
        server.client().health(cancel)
    assert caught.value.kind == "cancelled"
    assert not server.seen


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a certificate with its key that nobody has signed but itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_certificate_that_nobody_trusts_is_refused_and_one_that_is_trusted_is_taken(
    certificate: Path,
) -> None:
    proof = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    proof.load_cert_chain(certificate)
    with RudeServer(trust=proof) as secured:
        secured.always(lambda e: e.json(200, HEALTH))
        assert trouble_of(secured.client(token="t")).kind == "tls"
        assert not secured.seen, "nothing is sent before the server has proved who it is"
        trusting = ssl.create_default_context(cafile=str(certificate))
        assert secured.client(trust=trusting).health(CancelToken()).version == "0.1.0"


def test_https_to_a_server_without_it_says_so(server: RudeServer) -> None:
    server.always(lambda e: e.json(200, HEALTH))
    address = read_address(server.url.replace("http://", "https://"))
    assert trouble_of(Client(Transport(address, timeouts=QUICK))).kind == "tls"


def test_headers_without_end_are_a_broken_line_not_a_crash(server: RudeServer) -> None:
    def flood(exchange: Exchange) -> None:
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * (http.client._MAXHEADERS + 50))  # type: ignore[attr-defined]
        exchange.cut()

    server.always(flood)
    assert trouble_of(server.client()).kind in ("cut", "not_our_server")
