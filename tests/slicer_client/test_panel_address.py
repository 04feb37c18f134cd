"""Addresses as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from CORESegLib.address import read_address
from CORESegLib.trouble import Trouble


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("", "http://127.0.0.1:8000"),
        ("  10.0.0.7:8000/ ", "http://10.0.0.7:8000"),
        ("server", "http://server:80"),
        ("HTTPS://Server.Hospital.org", "https://server.hospital.org:443"),
        ("https://gate.org/coreseg/", "https://gate.org:443/coreseg"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_what_people_type_becomes_one_spelling(typed: str, url: str) -> None:
    assert read_address(typed).url == url


@pytest.mark.parametrize("typed", ["0.0.0.0:8000", "http://[::]:8000"])
def test_an_address_to_listen_on_becomes_this_machine_and_is_noted(typed: str) -> None:
    address = read_address(typed)
    assert address.this_machine
    assert address.note


@pytest.mark.parametrize(
    "typed",
    ["ftp://server", "http://", "http://a b", "http://me:word@server", "server:port", "s/?a=1", "s/../x y"],
)
def test_what_is_no_server_is_refused_with_a_remedy(typed: str) -> None:
    with pytest.raises(Trouble) as caught:
        read_address(typed)
    assert caught.value.kind == "address"
    assert caught.value.remedy
    assert "word" not in str(caught.value), "a password must not be shown"


@pytest.mark.parametrize(
    ("typed", "readable"),
    [("127.0.0.1", False), ("localhost:8000", False), ("10.0.0.7", True), ("https://10.0.0.7", False)],
)
def test_images_on_an_open_way_through_a_network_are_noticed(typed: str, readable: bool) -> None:
    assert read_address(typed).readable_on_the_way is readable


@given(st.text(alphabet="htpsLÀ:/0.1[]@?#%~ -_\n\\", max_size=40))
def test_any_text_is_an_address_or_refused_and_read_again_the_same(text: str) -> None:
    try:
        address = read_address(text)
    except Trouble:
        return
    assert read_address(address.url).url == address.url
