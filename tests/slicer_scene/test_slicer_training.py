"""Fine-tuning in the panel, against a local server that speaks the protocol: live numbers, one choice, nothing lost."""

from __future__ import annotations

import pytest
from desk import Desk, Scripted
from training_manners import COURSE, NEW, REASON, RUN, TrainingManners

from CORESegLib.panel import Panel


@pytest.fixture
def manners(scripted: Scripted) -> TrainingManners:
    return TrainingManners(scripted.server)


def line(desk: Desk) -> str:
    return str(desk.panel.training.block.line.text)


def verdict(desk: Desk) -> str:
    return str(desk.panel.training.block.verdict.text)


def scores(desk: Desk) -> list[list[str]]:
    table = desk.panel.training.block.table
    return [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount())]


def trained(desk: Desk, manners: TrainingManners) -> None:
    """Connect, and let a training run to its end."""
    desk.connect(manners.server.url)
    desk.panel.training.block.start.click()
    desk.until(lambda: desk.panel.training.following)
    manners.tell(*COURSE)
    manners.end()
    desk.until(lambda: bool(verdict(desk)))


def test_numbers_are_live_and_at_the_end_old_and_new_stand_side_by_side(
    desk: Desk, manners: TrainingManners
) -> None:
    block = desk.panel.training.block
    assert line(desk) == "Connect to a server first."
    assert not block.start.enabled
    desk.connect(manners.server.url)
    assert "9 images have a submitted label" in line(desk)
    block.minutes.setValue(3)
    block.start.click()
    desk.until(lambda: desk.panel.training.following)
    assert manners.orders == [{"minutes": 3.0, "promote": "if not worse"}]
    manners.tell(*COURSE[:3])
    desk.until(lambda: line(desk) == "Learning: step 2 of 4, about 0:03 left")
    assert "loss 1.500" in block.numbers.text
    assert not block.start.enabled
    assert block.stop.enabled
    manners.tell(*COURSE[3:])
    desk.until(lambda: line(desk) == "Asking old and new weights the same questions: 3 of 60")
    assert "validation Dice 0.600" in block.numbers.text
    assert not desk.panel.pump.busy, "hours of listening do not keep the quick timer going"
    desk.picture("training")
    manners.end()
    desk.until(lambda: bool(verdict(desk)))
    assert scores(desk)[0] == ["Dice, guard (40)", "0.710", "0.740"]
    assert "let it pass" in verdict(desk)
    assert block.keep_old.enabled
    assert not block.use_new.enabled
    assert desk.panel.connection.line.text == f"lite {NEW}, still to be loaded"
    desk.picture("trained", block.widget)


def test_keep_old_goes_back_to_what_answered_before(desk: Desk, manners: TrainingManners) -> None:
    trained(desk, manners)
    assert manners.current == NEW
    desk.panel.training.block.keep_old.click()
    desk.until(lambda: "v0 answers from the next question on" in line(desk))
    assert manners.current == "v0"
    assert manners.promoted == ["/coreseg/versions/roll-back"]
    assert desk.panel.connection.line.text == "lite v0"
    desk.until(lambda: bool(desk.panel.training.block.use_new.enabled))  # The choice can be taken back.


def test_keep_old_after_somebody_elses_choice_leads_to_the_parent_and_nowhere_else(
    desk: Desk, manners: TrainingManners
) -> None:
    trained(desk, manners)
    manners.before.append("20260101T000000Z-ffffffff")
    desk.connect(manners.server.url)
    desk.panel.training.block.keep_old.click()
    desk.until(lambda: "v0 answers from the next question on" in line(desk))
    assert manners.promoted == ["/coreseg/versions/v0/promote"]


def test_what_the_guard_holds_back_answers_only_after_its_reason_was_read(
    desk: Desk, manners: TrainingManners
) -> None:
    manners.passes = False
    trained(desk, manners)
    assert REASON in verdict(desk)
    assert "v0 answers now" in verdict(desk)
    desk.picture("held_back", desk.panel.training.block.widget)
    asked: list[str] = []
    desk.panel._confirm = lambda text: asked.append(text) is not None
    desk.panel.training.block.use_new.click()
    assert REASON in asked[0]
    assert not manners.promoted
    desk.panel._confirm = lambda text: True
    desk.panel.training.block.use_new.click()
    desk.until(lambda: f"{NEW} answers from the next question on" in line(desk))
    assert manners.promoted == [f"/coreseg/versions/{NEW}/promote?despite_guard=true"]


def test_keeping_old_where_old_answers_asks_the_server_nothing(desk: Desk, manners: TrainingManners) -> None:
    manners.passes = False
    trained(desk, manners)
    desk.panel.training.block.keep_old.click()
    assert "v0 goes on answering" in line(desk)
    assert not desk.panel.training.block.keep_old.enabled
    assert not manners.promoted


def test_a_second_request_says_what_runs_and_follows_it(desk: Desk, manners: TrainingManners) -> None:
    desk.connect(manners.server.url)
    manners.begin()
    manners.tell(*COURSE[:3])
    desk.panel.training.block.start.click()
    desk.until(lambda: desk.panel.training.following)
    desk.until(lambda: "step 2 of 4, about" in line(desk))
    assert f"The training {RUN} runs" in line(desk)
    assert "DELETE" not in line(desk)
    assert desk.panel.training.block.stop.enabled


def test_closing_slicer_stops_no_training_and_the_panel_finds_it_again(
    desk: Desk, manners: TrainingManners
) -> None:
    desk.connect(manners.server.url)
    desk.panel.training.block.start.click()
    desk.until(lambda: desk.panel.training.following)
    manners.tell(*COURSE[:3])
    desk.until(lambda: "step 2 of 4" in line(desk))
    desk.panel.close()
    again = Panel(confirm=lambda text: True)
    other = Desk(again, desk.volume, desk.view)
    other.connect(manners.server.url)
    other.until(lambda: "step 2 of 4" in line(other))
    manners.tell(*COURSE[3:])
    manners.end()
    other.until(lambda: bool(verdict(other)))
    again.close()
    assert not manners.stopping
    third = Panel(confirm=lambda text: True)
    late = Desk(third, desk.volume, desk.view)
    late.connect(manners.server.url)
    assert "let it pass" in verdict(late), "what ended meanwhile is shown, too"
    assert not third.training.following
    third.close()


def test_stopping_asks_once_and_what_was_stopped_can_go_on(desk: Desk, manners: TrainingManners) -> None:
    block = desk.panel.training.block
    desk.connect(manners.server.url)
    block.start.click()
    desk.until(lambda: desk.panel.training.following)
    manners.tell(*COURSE[:3])
    desk.until(lambda: "step 2 of 4" in line(desk))
    desk.panel._confirm = lambda text: False
    block.stop.click()
    assert not manners.stopping
    desk.panel._confirm = lambda text: True
    block.stop.click()
    desk.until(lambda: manners.stopping)
    manners.fail("cancelled", "The training was stopped.")
    desk.until(lambda: "was stopped at step 2" in line(desk))
    block.resume.click()
    desk.until(lambda: len(manners.orders) == 2 and desk.panel.training.following)
    assert manners.orders[1] == {"resume": RUN}


def test_a_version_can_be_told_to_wait_for_the_readers_word(desk: Desk, manners: TrainingManners) -> None:
    desk.connect(manners.server.url)
    desk.panel.training.block.at_once.setChecked(False)
    desk.panel.training.options = {"replay_share": 0.3, "promote": "if not worse"}
    desk.panel.training.block.start.click()
    desk.until(lambda: bool(manners.orders))
    assert manners.orders == [{"minutes": 11.0, "promote": "never", "replay_share": 0.3}]


def test_too_little_to_learn_from_is_said_in_the_words_of_the_server(
    desk: Desk, manners: TrainingManners
) -> None:
    few = "5 slices of 2 patients have been accepted or corrected; a training needs at least 8 of 4."
    manners.server.manners["POST", "/train/coreseg_sft"] = lambda e: (
        e.body(),
        e.refuse(400, "bad_input", few),
    )
    desk.connect(manners.server.url)
    desk.panel.training.block.start.click()
    desk.until(lambda: few in line(desk))
    assert desk.panel.training.block.start.enabled


def test_a_server_that_is_started_anew_meanwhile_is_waited_for(desk: Desk, manners: TrainingManners) -> None:
    desk.connect(manners.server.url)
    desk.panel.training.block.start.click()
    desk.until(lambda: desk.panel.training.following)
    manners.tell(*COURSE[:3])
    desk.until(lambda: "step 2 of 4" in line(desk))
    path = ("GET", f"/coreseg/training/{RUN}")
    there = manners.server.manners[path]
    manners.server.manners[path] = lambda e: e.refuse(503, "busy", "The server is starting.")
    manners.down = True
    desk.until(lambda: "The training goes on there" in line(desk))
    manners.server.manners[path], manners.down = there, False
    manners.tell(*COURSE[3:])
    manners.end()
    desk.until(lambda: bool(verdict(desk)), 20)


def test_without_a_connection_nothing_can_be_ordered_and_the_next_one_finds_what_runs(
    desk: Desk, manners: TrainingManners
) -> None:
    desk.connect(manners.server.url)
    desk.panel.training.block.start.click()
    desk.until(lambda: desk.panel.training.following)
    desk.connect("127.0.0.1:9")
    assert line(desk) == "Connect to a server first."
    assert not desk.panel.training.block.start.enabled
    assert not desk.panel.training.block.stop.enabled
    desk.connect(manners.server.url)
    assert desk.panel.training.following
    assert not manners.stopping


def test_a_server_that_does_not_learn_says_so_and_answers_all_the_same(
    desk: Desk, scripted: Scripted
) -> None:
    said = "This server does not learn: its studies lie on another server."
    scripted.server.manners["GET", "/coreseg/training"] = lambda e: e.refuse(404, "not_found", said)
    desk.connect(scripted.server.url)
    assert said in line(desk)
    assert not desk.panel.training.block.start.enabled
    desk.ask()
    desk.settled()
    assert desk.panel.state == "done"
