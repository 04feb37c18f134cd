"""Makes the confidences of published weights hold: as often right as they say.

    coreseg evaluate MANIFEST --questions val.jsonl --weights FOLDER --out report.json
    python -m training.calibrate --weights FOLDER --report report.json

writes the scaling that the report fitted on one half of its patients into the manifest of the weights; what it is worth
was measured on the other half, and stands beside it. The table of `training.baselines.table` will do as a report too.
The tensors stay as they are; whatever serves them says "calibrated" from its next start on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coreseg_core.checkpoint import WEIGHTS_NAME, read_manifest, replace_facts
from coreseg_core.cli.exits import exit_code
from coreseg_core.errors import CheckpointError, InputError
from coreseg_core.scaling import FACT, Scaling, read_scalings

_REMEDY = "Give what `coreseg evaluate --out FILE` or `training.baselines.table` wrote."


def scaling_fact(report: Mapping[str, Any], *, sha256: str) -> dict[str, Any]:
    """Return what a manifest says of its confidences: the scalings, and what they were worth where they were measured.

    Args:
        report: Values of `coreseg.report/1` or `coreseg.comparison/1`.
        sha256: Of the weights that it must be about.

    Raises:
        InputError: It is about other weights, or nothing could be fitted.
    """
    model, values = _measured(report)
    if model.get("sha256") != sha256:
        raise InputError(
            f"The report is about weights {str(model.get('sha256'))[:12]}, not about {sha256[:12]}.",
            remedy="Evaluate these weights first.",
        )
    found = values["calibration"]["scaled"]
    if any(Scaling(**scaling) == Scaling() for scaling in found["scalings"].values()):
        raise InputError(
            "The report has too few answers to fit a scaling.", remedy="Evaluate more questions at once."
        )
    return {
        "scalings": found["scalings"],
        "measured": {
            key: found["together"][key] for key in ("n", "ece", "aurc", "failures", "failures_caught")
        },
    }


def _measured(report: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the model that a report is about, and what it says of it."""
    try:
        if "reports" in report:
            return report["model"], report["reports"][report["model"]["preset"]]
        return report["run"]["model"], report
    except (KeyError, TypeError) as error:
        raise InputError("The report does not say which weights it is about.", remedy=_REMEDY) from error


def calibrate(folder: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the manifest of a weight folder says of confidences from now on.

    Raises:
        CheckpointError: The folder is damaged, or has a scaling, which the report was measured with.
        InputError: See `scaling_fact`.
    """
    manifest = read_manifest(folder)
    if read_scalings(manifest):
        raise CheckpointError(
            "These weights are calibrated already, so the report scales what was scaled.",
            remedy="Publish them again with `python -m training.publish`, and evaluate those.",
        )
    fact = scaling_fact(report, sha256=manifest["files"][WEIGHTS_NAME]["sha256"])
    replace_facts(folder, {FACT: fact})
    return fact


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"The report {path.name!r} cannot be read.", remedy=_REMEDY) from error
    if not isinstance(values, dict):
        raise InputError(f"{path.name!r} is no report.", remedy=_REMEDY)
    return values


@exit_code
def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code after writing the manifest."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--report", type=Path, required=True, metavar="REPORT")
    chosen = parser.parse_args(argv)
    print(json.dumps(calibrate(chosen.weights, _read(chosen.report)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
