"""Settings are kept between sessions and count from the next connection or question on; consent can be taken back."""

from __future__ import annotations

import pytest
from desk import Desk, Scripted
from headless import HeadlessSlicer

from CORESegLib.address import ServerAddress
from CORESegLib.panel import Panel
from CORESegLib.remembered import REASONING


def test_settings_outlive_the_session_and_shape_what_is_sent(desk: Desk, scripted: Scripted) -> None:
    settings = desk.panel.settings
    settings.server.setText(scripted.server.url)
    settings.server.editingFinished.emit()
    settings.connect_s.setValue(7)
    settings.read_s.setValue(9)
    settings.reasoning.setCurrentIndex(REASONING.index("full"))
    again = Panel(confirm=lambda text: True)
    other = Desk(again, desk.volume, desk.view)
    assert (again.settings.connect_s.value, again.settings.read_s.value) == (7, 9)
    assert again.settings.reasoning.currentText == "full"
    assert again.connection.address.currentText == scripted.server.url
    again.question.image.setCurrentNode(desk.volume)
    again.connection.connect_button.click()
    other.until(lambda: not again.pump.busy)
    assert again._client is not None
    timeouts = again._client._transport.timeouts
    assert (timeouts.connect_s, timeouts.read_s) == (7.0, 9.0)
    other.ask()
    other.settled()
    assert scripted.asked[0]["params"]["reasoning"] == "full"
    again.close()


def test_consent_is_shown_and_can_be_taken_back(
    desk: Desk, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerAddress, "this_machine", property(lambda self: False))
    asked: list[str] = []
    desk.panel._confirm = lambda text: not asked.append(text)  # type: ignore[func-returns-value]
    desk.connect(scripted.server.url)
    settings = desk.panel.settings
    assert not settings.revoke.enabled
    for count in (1, 1):
        desk.ask()
        desk.settled()
        assert len(asked) == count, "asked once for each server"
    assert scripted.server.url in settings.consents.text
    settings.revoke.click()
    assert scripted.server.url not in settings.consents.text
    desk.ask()
    desk.settled()
    assert len(asked) == 2


def test_an_administrators_server_cannot_be_set_aside(
    desktop: HeadlessSlicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORESEG_LOCKED_SERVER", "https://seg.example")
    panel = Panel(confirm=lambda text: True)
    assert not panel.settings.server.enabled
    assert panel.connection.address.currentText == "https://seg.example"
    panel.close()
