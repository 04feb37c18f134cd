"""Who is answered: whoever bears the token; without one this machine alone, and no page of another site."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreseg_core.errors import AccessError, InputError
from lib.access import check_access
from lib.settings import ServerSettings

HERE = {"host": "127.0.0.1:8000"}
TOKEN = "s3cret-and-long"


def local(
    headers: dict[str, str] | None = None, *, client: str | None = "127.0.0.1", server: str = "127.0.0.1"
) -> None:
    check_access({**HERE, **(headers or {})}, token=None, client=client, server=server)


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_without_a_token_this_machine_is_answered(client: str) -> None:
    local(client=client)


def test_this_machine_is_known_by_its_own_address_too() -> None:
    local({"host": "192.168.1.20:8000"}, client="192.168.1.20", server="192.168.1.20")


@pytest.mark.parametrize(
    "client", ["192.168.1.21", "10.0.0.1", "8.8.8.8", "fe80::1%eth0", "::ffff:8.8.8.8", None, "", "x"]
)
def test_without_a_token_nobody_else_is(client: str | None) -> None:
    with pytest.raises(AccessError) as refused:
        local(client=client, server="192.168.1.20")
    assert refused.value.http_status == 401
    assert "token" in refused.value.remedy


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1"])
def test_a_name_that_was_pointed_at_this_machine_is_not_enough(host: str) -> None:
    with pytest.raises(AccessError):
        local({"host": host})


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://evil.example:8000",
        "null",
        "http://127.0.0.1.evil.example",
        "",
        "http://[::1",
    ],
)
def test_a_page_of_another_site_is_not_answered_though_it_runs_here(origin: str) -> None:
    with pytest.raises(AccessError):
        local({"origin": origin})


@pytest.mark.parametrize(
    "origin",
    [
        "http://203.0.113.5",
        "http://203.0.113.5:8000",
        "https://192.168.1.20",
        "http://192.168.1.21:8000",
        "http://192.168.1.20:8001",
        "http://[2001:db8::5]",
        "http://[2001:db8::5]:8000",
        "http://[::ffff:203.0.113.5]",
        "http://0.0.0.0:8000",
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1:8000", "192.168.1.20:8000", "[::1]:8000"])
def test_a_page_of_another_site_is_not_answered_though_an_address_is_all_its_name(
    host: str, origin: str
) -> None:
    with pytest.raises(AccessError, match="other sites"):
        local({"host": host, "origin": origin})


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1", "[::1]:8000", "192.168.1.20:8000", "[2001:db8::5]:8000"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_pages_of_this_very_server_are(host: str, scheme: str) -> None:
    local({"host": host, "origin": f"{scheme}://{host}"})


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.2:3000", "http://[::1]:3000"])
def test_pages_of_another_program_of_this_machine_are(origin: str) -> None:
    local({"origin": origin})


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_with_a_token_whoever_bears_it_is_answered_from_anywhere(scheme: str) -> None:
    headers = {
        "authorization": f"{scheme} {TOKEN}",
        "host": "seg.hospital.example",
        "origin": "http://x.example",
    }
    check_access(headers, token=TOKEN, client="8.8.8.8", server="10.0.0.1")


@given(st.one_of(st.just(""), st.text(max_size=40), st.text(max_size=40).map(lambda text: f"Bearer {text}")))
def test_with_a_token_nobody_is_answered_without_it_this_machine_neither(authorization: str) -> None:
    with pytest.raises(AccessError) as refused:
        check_access(
            {**HERE, "authorization": authorization}, token=TOKEN, client="127.0.0.1", server="127.0.0.1"
        )
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("token", ["", " ", "two words", "with\ttab", "ünicode", "line\n"])
def test_a_token_that_cannot_be_sent_is_refused_at_the_start(token: str) -> None:
    with pytest.raises(InputError):
        ServerSettings.read({"token": token}, {})


def test_the_token_may_come_from_the_environment_and_shows_nowhere() -> None:
    chosen = ServerSettings.read({}, {"CORESEG_TOKEN": TOKEN})
    assert chosen.token == TOKEN
    assert TOKEN not in repr(chosen)
    assert ServerSettings.read({}, {"CORESEG_TOKEN": ""}).token is None


@pytest.mark.parametrize(("key", "text"), [("queue", "0"), ("queue", "-1"), ("max_voxels", "x")])
def test_a_setting_that_is_no_number_is_named(key: str, text: str) -> None:
    with pytest.raises(InputError, match=key):
        ServerSettings.read({key: text}, {})
