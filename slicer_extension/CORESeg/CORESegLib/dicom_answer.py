"""An answer as it leaves for DICOM: what the two objects made of it say alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from CORESegLib.findings import Record, SliceAnswer
from CORESegLib.outcomes import CHIPS, Outcome
from CORESegLib.rich_text import for_reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAKER = "CORE-Seg"
NOTICE = "Output of an AI model, research software; not a medical device, not a diagnosis."


@dataclass(frozen=True, kw_only=True, eq=False)
class DicomAnswer:
    """One answer.

    Attributes:
        record: Of the model.
        slices: Of the answer, in reading order.
        mask_ijk: As it is now, on the image's grid.
        voxel_mm3: Of one voxel.
        edited_voxels: How many differ from the model's mask.
        accepted: Whether the reader has accepted it.
        reader_words: What she wrote in place of the model's words; empty for nothing.
    """

    record: Record
    slices: Sequence[SliceAnswer]
    mask_ijk: NDArray[Any]
    voxel_mm3: float
    edited_voxels: int
    accepted: bool
    reader_words: str = ""

    @property
    def question(self) -> str:
        """What was asked."""
        return str(self.record.values.get("query", ""))

    @property
    def outcome(self) -> Outcome:
        """Of the answer; where the reader has drawn, her mask decides."""
        if not self.edited_voxels:
            return self.record.outcome
        return "present" if self.marked else "absent"

    @property
    def outcome_words(self) -> str:
        """The outcome as the panel's chip says it."""
        return CHIPS[self.outcome].word

    @property
    def marked(self) -> bool:
        """Whether the mask marks anything."""
        return bool(self.mask_ijk.any())

    @property
    def volume_mm3(self) -> float:
        """Of the mask."""
        return float(self.mask_ijk.sum()) * self.voxel_mm3

    @property
    def decision(self) -> str:
        """How far a reader has come with it."""
        how = (
            f"edited by the reader in {self.edited_voxels} voxels"
            if self.edited_voxels
            else "as the model drew it"
        )
        return f"{'Accepted' if self.accepted else 'Not accepted'}, {how}"

    @property
    def confidence(self) -> float | None:
        """The lowest of all slices that were marked; None where the model gave none, or the reader has drawn."""
        found = [one.confidence for one in self.slices if one.mask is not None and one.confidence is not None]
        return min(found) if found and not self.edited_voxels else None

    @property
    def calibrated(self) -> bool:
        """Whether the confidence was ever compared with how often it is right."""
        return all(one.calibrated for one in self.slices if one.mask is not None)

    @property
    def model(self) -> Mapping[str, str]:
        """Preset, version and hash of the weights."""
        values = self.record.values.get("model")
        known = values if isinstance(values, dict) else {}
        return {key: short(str(known.get(key, ""))) for key in ("preset", "version", "sha256")}

    @property
    def summary(self) -> str:
        """Question, outcome and the words of the first finding, in one line."""
        first = next((one for one in self.slices if one.mask is not None), None)
        words = self.reader_words or (words_of(first) if first is not None else "")
        return " ".join(part for part in (self.question, f"{self.outcome_words}.", words) if part)


def short(text: str, *, limit: int = 64) -> str:
    """Return a text that DICOM takes as a short one: in one line, without what parts values, at most so many bytes."""
    shown = "".join(letter if letter.isprintable() and letter != "\\" else " " for letter in text)
    return " ".join(shown.split()).encode()[:limit].decode(errors="ignore").strip()


def words_of(one: SliceAnswer) -> str:
    """Return what the model wrote about a slice, without what it writes for the machine."""
    return " ".join(part for part in (one.reasoning, for_reader(one.answer), one.reason) if part)
