"""Submissions that wait: none is lost, whoever is killed, and none is sent by half."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rude_server import QUICK, Exchange, RudeServer

from CORESegLib.address import read_address
from CORESegLib.client import Client
from CORESegLib.findings import read_record
from CORESegLib.geometry import Difference
from CORESegLib.outbox import LABEL, Outbox
from CORESegLib.stopping import CancelToken
from CORESegLib.submission import corrected_record, label_params
from CORESegLib.transport import Transport
from CORESegLib.trouble import Trouble

MODULE = Path(__file__).resolve().parents[2] / "slicer_extension/CORESeg"
RECORD = {
    "schema": "coreseg.record/1",
    "id": "r1",
    "image_id": "abc",
    "outcome": "present",
    "model": {},
    "lesions": [{"id": 1, "slices": [3]}],
}


def put(outbox: Outbox, server: str, *, image: str = "abc", content: bytes = b"label") -> str:
    return outbox.put(
        lambda path: path.write_bytes(content),
        server=server,
        image_id=image,
        tag="final",
        params={"params": {"record": {"query": "Größe?"}}},
    )


def keys(outbox: Outbox) -> list[str]:
    return [submission.key for submission in outbox.waiting()]


def test_what_was_put_in_is_there_after_a_restart_in_the_order_it_came(tmp_path: Path) -> None:
    first = put(Outbox(tmp_path / "out"), "http://a:1")
    second = put(Outbox(tmp_path / "out"), "http://a:1")
    waiting = Outbox(tmp_path / "out").waiting()
    assert [one.key for one in waiting] == [first, second]
    assert waiting[0].label.read_bytes() == b"label"
    assert waiting[0].params == {"params": {"record": {"query": "Größe?"}}}


def test_what_the_server_takes_leaves_the_outbox(server: RudeServer, tmp_path: Path) -> None:
    taken: list[bytes] = []
    server.always(lambda e: (taken.append(e.body()), e.json(200, {"label": "abc"})))
    outbox = Outbox(tmp_path)
    put(outbox, server.url, content=b"first-label")
    put(outbox, server.url, content=b"second-label")
    assert outbox.deliver(server.client(), CancelToken()) == 2
    assert not keys(outbox)
    assert not list(tmp_path.iterdir())
    assert b"first-label" in taken[0]
    assert "Größe".encode() in taken[0]
    assert re.search(rb'name="label"; filename="label.nrrd"', taken[0])
    assert server.seen[0][1] == "/datastore/label?image=abc&tag=final"


@pytest.mark.parametrize(
    "manners",
    [
        Exchange.cut,
        lambda e: (e.body(), e.refuse(503, "busy", "Full.")),
        lambda e: (e.body(), e.refuse(500, "internal", "Oh.")),
        lambda e: (e.body(), e.refuse(401, "no_access", "Who?")),
        lambda e: (e.body(), e.send(200, b"<html>", "text/html")),
        lambda e: (e.body(), e.send(404, b"<html>", "text/html")),
    ],
)
def test_what_a_server_in_trouble_does_not_take_stays(
    server: RudeServer, tmp_path: Path, manners: object
) -> None:
    server.always(manners)  # type: ignore[arg-type]
    outbox = Outbox(tmp_path)
    expected = [put(outbox, server.url), put(outbox, server.url)]
    with pytest.raises(Trouble):
        outbox.deliver(server.client(), CancelToken())
    assert keys(outbox) == expected
    assert len(server.seen) == 1, "a server in trouble is not asked for the next one"


def test_a_server_that_is_away_loses_nothing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    key = put(outbox, "http://127.0.0.1:9")
    with pytest.raises(Trouble):
        outbox.deliver(Client(Transport(read_address("127.0.0.1:9"), timeouts=QUICK)), CancelToken())
    assert keys(outbox) == [key]


def test_one_that_is_refused_stays_with_its_reason_and_holds_up_no_other(
    server: RudeServer, tmp_path: Path
) -> None:
    def refuse_one(exchange: Exchange) -> None:
        exchange.body()
        if exchange.query["image"] == "gone":
            exchange.refuse(404, "not_found", "There is no such image.")
        else:
            exchange.json(200, {})

    server.always(refuse_one)
    outbox = Outbox(tmp_path)
    refused = put(outbox, server.url, image="gone")
    put(outbox, server.url)
    assert outbox.deliver(server.client(), CancelToken()) == 1
    assert keys(outbox) == [refused]
    assert outbox.waiting()[0].refused.startswith("There is no such image.")
    assert outbox.deliver(server.client(), CancelToken()) == 0
    assert len(server.seen) == 2, "it is not tried again by itself"
    outbox.try_again(outbox.waiting()[0])
    assert not outbox.waiting()[0].refused


def test_what_is_for_another_server_waits_for_that_one(server: RudeServer, tmp_path: Path) -> None:
    server.always(lambda e: e.json(200, {}))
    outbox = Outbox(tmp_path)
    key = put(outbox, "http://elsewhere:1")
    assert outbox.deliver(server.client(), CancelToken()) == 0
    assert keys(outbox) == [key]


def test_what_is_not_whole_is_neither_sent_nor_removed(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    put(outbox, "http://a:1")
    broken = tmp_path / put(outbox, "http://a:1")
    (broken / "submission.json").write_text("{")
    unlabelled = tmp_path / put(outbox, "http://a:1")
    (unlabelled / LABEL).unlink()
    assert len(outbox.waiting()) == 1
    assert broken.exists()


def test_a_label_that_cannot_be_written_leaves_nothing_half(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)

    def fail(path: Path) -> None:
        path.write_bytes(b"ha")
        raise OSError("no space")

    with pytest.raises(Trouble) as caught:
        outbox.put(fail, server="http://a:1", image_id="abc", tag="final", params={})
    assert caught.value.kind == "local"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("killed_at", range(0, 12, 2))
def test_killed_at_any_moment_a_submission_is_whole_or_not_there(tmp_path: Path, killed_at: int) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(MODULE)!r})
from pathlib import Path
from CORESegLib.outbox import Outbox
steps = 0
def audit(event, details):
    global steps
    if event in ("open", "os.rename", "os.mkdir") and {str(tmp_path)!r} in str(details[0]):
        steps += 1
        if steps > {killed_at}: os.kill(os.getpid(), signal.SIGKILL)
outbox = Outbox(Path({str(tmp_path)!r}))
sys.addaudithook(audit)
for number in range(3):
    outbox.put(lambda path: path.write_bytes(b"whole"), server="s", image_id="i", tag="t", params={{"a": 1}})
"""
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code], check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert ran.returncode == -signal.SIGKILL
    waiting = Outbox(tmp_path).waiting()
    seen = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert len(waiting) == len(seen), "whatever can be seen is whole"
    assert all(one.label.read_bytes() == b"whole" and one.params == {"a": 1} for one in waiting)


def test_what_a_killed_slicer_left_half_written_goes_later_and_not_at_once(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    half = tmp_path / ".partial-x"
    shutil.copytree(tmp_path / put(outbox, "s"), half)
    Outbox(tmp_path)
    assert half.exists(), "another Slicer may be writing it"
    os.utime(half, (1, 1))
    Outbox(tmp_path)
    assert not half.exists()
    assert len(outbox.waiting()) == 1


def test_an_accepted_correction_is_a_child_of_the_models_record() -> None:
    record = read_record(RECORD)
    changed = Difference(added=3, removed=4, slices_along=((1,), (2,), (3, 4)), dice=0.9)
    values = corrected_record(record, difference=changed, axis=2, marked=True, text="Two spots.", reader="")
    assert values["parent_id"] == "r1"
    assert values["id"] != "r1"
    assert values["edits"] | {"at": ""} == {
        "by": "reader",
        "at": "",
        "text": "Two spots.",
        "diff_voxels": 7,
        "slices": [3, 4],
    }
    assert (values["outcome"], values["lesions"]) == ("present", [])


def test_an_accepted_answer_keeps_what_the_model_found() -> None:
    same = Difference(added=0, removed=0, slices_along=((), (), ()), dice=1.0)
    values = corrected_record(
        read_record(RECORD), difference=same, axis=2, marked=True, text=None, reader="desk 3"
    )
    assert values["lesions"] == RECORD["lesions"]
    assert "text" not in values["edits"]
    assert values["edits"]["by"] == "desk 3"


def test_a_mask_that_was_erased_is_an_absence_by_the_reader() -> None:
    erased = Difference(added=0, removed=9, slices_along=((1,), (2,), (3,)), dice=0.0)
    values = corrected_record(
        read_record(RECORD), difference=erased, axis=2, marked=False, text=None, reader=""
    )
    assert values["outcome"] == "absent"
    params = label_params(values, names={"lesion": 1})
    assert params["params"]["record"] == values
    assert params["label_info"] == [{"name": "lesion", "idx": 1}]
