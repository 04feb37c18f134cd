"""What the panel says of a training and of the version that came of it, and which of its buttons mean something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from CORESegLib.model_versions import ModelVersion, Score, Versions
from CORESegLib.training_stand import TrainingStand
from CORESegLib.trouble import Trouble

BARS = "▁▂▃▄▅▆▇█"
SPARK_LENGTH = 24
_STAGES = {
    "waiting": "The training waits for its process",
    "prepare": "Dividing the corrections by patient",
    "embed": "Reading all pictures once",
    "publish": "Keeping the new version",
}


@dataclass(frozen=True, kw_only=True)
class TrainingView:
    """What the block of the training shows.

    Attributes:
        line: How the training stands.
        numbers: Loss and Dice so far; empty while there are none.
        share: Of the bar, 0 to 1; None for a bar that only shows that something goes on.
        bar: Whether there is a bar.
        start, stop, resume: Whether these can be pressed.
        rows: Scores of the new version beside the old one's: name, old, new, change.
        verdict: What the guard said, and what follows from it.
        passed: Whether the guard let the version pass; None while there is no verdict.
        use_new, keep_old: Whether these can be pressed.
    """

    line: str
    numbers: str = ""
    share: float | None = None
    bar: bool = False
    start: bool = False
    stop: bool = False
    resume: bool = False
    rows: tuple[tuple[str, str, str, str], ...] = ()
    verdict: str = ""
    passed: bool | None = None
    use_new: bool = False
    keep_old: bool = False


def training_view(
    stand: TrainingStand | None,
    versions: Versions | None,
    *,
    connected: bool,
    labels: int | None = None,
    away: Trouble | None = None,
    said: str = "",
    busy: bool = False,
    decided: bool = False,
) -> TrainingView:
    """Return what to show.

    Args:
        stand: Of the last training; None where there was none.
        versions: Of the server; None while they are not known.
        connected: Whether there is a server that learns.
        labels: Images in the store with a final label; None while that is not known.
        away: Why the server cannot be reached just now.
        said: What came of the last press of a button; stands in front.
        busy: Whether a press of a button is on its way.
        decided: Whether the person has chosen between the versions.
    """
    if not connected:
        return TrainingView(line=said or "Connect to a server first.")
    running = stand is not None and not stand.ended
    words = [said, _line(stand) if stand is not None else _before(labels)]
    if running and away is not None:
        words = [f"{away.said} The training goes on there; it is asked again."]
    new = versions.named(stand.version) if versions is not None and stand is not None else None
    shown = new is not None and stand is not None and stand.state == "done"
    return TrainingView(
        line=" ".join(word for word in words if word),
        numbers=_numbers(stand) if stand is not None else "",
        share=_share(stand) if running and stand is not None else None,
        bar=running,
        start=not running and not busy,
        stop=running and not busy,
        resume=stand is not None and stand.state in ("stopped", "failed") and not busy,
        rows=tuple(_row(score) for score in new.scores if score.count) if new is not None and shown else (),
        verdict=_verdict(new, versions) if new is not None and versions is not None and shown else "",
        passed=new.passed if new is not None and shown else None,
        use_new=shown
        and not busy
        and new is not None
        and versions is not None
        and versions.current != new.name
        and new.state != "rejected",
        keep_old=shown
        and not busy
        and new is not None
        and versions is not None
        and (versions.current == new.name or not decided),
    )


def question_before_use(new: ModelVersion) -> str:
    """Return what a person is asked before a version that its guard holds back answers; empty where it need not be."""
    if new.state != "candidate":
        return ""
    why = new.reason or "nobody has judged it"
    return f"The guard holds this version back: {why}. Let it answer all questions on this server in spite of that?"


def spark(values: Sequence[float], *, length: int = SPARK_LENGTH) -> str:
    """Return numbers as a line of bars, the lowest and highest of them at its ends; empty for less than two."""
    if len(values) < 2:
        return ""
    step = max(1.0, len(values) / length)
    shown = [values[min(len(values) - 1, int(place * step))] for place in range(int(len(values) / step))]
    shown[-1] = values[-1]
    low, high = min(shown), max(shown)
    width = (high - low) or 1.0
    return "".join(BARS[round((value - low) / width * (len(BARS) - 1))] for value in shown)


def clock(seconds: float) -> str:
    """Return a length of time as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _before(labels: int | None) -> str:
    if labels is None:
        return "No training has run on this server."
    word = "image has" if labels == 1 else "images have"
    return f"{labels} {word} a submitted label in this server's store; a training learns from them."


def _line(stand: TrainingStand) -> str:
    if stand.state == "done":
        return f"Training {stand.run} is done after {stand.step} steps."
    if stand.state == "stopped":
        return (
            f"Training {stand.run} was stopped at step {stand.step}. What it learned is kept; it can go on."
        )
    if stand.state == "failed":
        return " ".join(
            part for part in (f"Training {stand.run} failed.", stand.reason, stand.remedy) if part
        )
    if stand.stage == "learn":
        words = f"Learning: step {stand.step} of {stand.steps or '?'}"
        return f"{words}, about {clock(stand.eta_s)} left" if stand.eta_s is not None else words
    if stand.stage == "judge":
        asked = f": {stand.asked} of {stand.to_ask}" if stand.to_ask else ""
        return f"Asking old and new weights the same questions{asked}"
    return _STAGES.get(stand.stage, "The training runs")


def _numbers(stand: TrainingStand) -> str:
    parts = []
    for name, values in (("loss", stand.losses), ("validation Dice", stand.dices)):
        if values:
            parts.append(f"{name} {values[-1]:.3f} {spark(values)}".strip())
    return ", ".join(parts)


def _share(stand: TrainingStand) -> float | None:
    if stand.stage == "learn" and stand.steps:
        return min(1.0, stand.step / stand.steps)
    if stand.stage == "judge" and stand.to_ask:
        return min(1.0, stand.asked / stand.to_ask)
    return None


def _row(score: Score) -> tuple[str, str, str, str]:
    change = ""
    if score.change is not None:
        mean, low, high = score.change
        change = f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"
    return f"{score.name} ({score.count})", _number(score.old), _number(score.new), change


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _verdict(new: ModelVersion, versions: Versions) -> str:
    if new.passed is None:
        said = "Nobody has judged this version."
    elif new.passed:
        said = "The guard let it pass: not worse than the version it came from."
    else:
        said = f"The guard holds it back: {new.reason or 'no reason given'}."
    if new.by_phantoms:
        said += " The guard asked about made-up images, which say nothing about patients."
    answers = "It answers now." if versions.current == new.name else f"{versions.current} answers now."
    return f"{said} {answers}"
