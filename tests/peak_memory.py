"""How much memory a piece of work needs at its peak, in a process of its own.

A peak only rises, and `ru_maxrss` of a child begins at the peak of the process that started it, so that beside a large
one nothing would be seen. The high-water mark of `/proc` (Linux) belongs to the child alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[1]
_MEASURE = """
import sys
from pathlib import Path
from coreseg_core.errors import CoreSegError
{before}
def peak_kib():
    told = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return int(told.split()[0])
begun_kib = peak_kib()
try:
    said = {work}
except CoreSegError as error:
    said = error.code
print(said, peak_kib() - begun_kib)
"""


@dataclass(frozen=True)
class Measured:
    """What came of the work, an error's code or the text of its value, and by how much it raised the peak."""

    said: str
    grown_mib: float


def measure(*, before: str, work: str, arguments: tuple[Path, ...]) -> Measured:
    """Return what an expression comes to, and what it needs beyond what `before` has needed.

    Args:
        before: Statements that import and warm up what the work uses.
        work: An expression whose text is one word; it sees `sys.argv[1:]` as `arguments`.
        arguments: Paths.
    """
    program = _MEASURE.format(before=before, work=work)
    paths = os.pathsep.join((str(_REPOSITORY), str(_REPOSITORY / "apps" / "coreseg")))
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    said, grown_kib = ran.stdout.split()
    return Measured(said, int(grown_kib) / 1024)
