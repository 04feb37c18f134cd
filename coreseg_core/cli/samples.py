"""`coreseg samples`: real public studies for those who have a network."""

from __future__ import annotations

import argparse
from pathlib import Path

from coreseg_core import NOTICE
from coreseg_core.cli.extensions import Subparsers
from coreseg_core.cli.progress import progress_bar
from coreseg_core.errors import InputError

DESCRIPTION = """\
List real public studies, or fetch one. A file is kept only if its SHA-256 is the one in the table; a transfer that
broke off goes on the next time."""

EXAMPLES = """\
examples:
  coreseg samples
  coreseg samples MRBrainTumor1 --out studies
  coreseg samples MRHead --mirror http://127.0.0.1:9000/files

Each study has its own licence and citation, which the list names. Without a network, 'coreseg phantoms' makes studies
on this machine."""


def add_command(subparsers: Subparsers) -> None:
    """Add the parser of `coreseg samples`."""
    parser = subparsers.add_parser(
        "samples",
        help="list and fetch real public studies",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="which study to fetch; without it they are listed"
    )
    parser.add_argument("--list", action="store_true", help="list the studies and fetch nothing")
    parser.add_argument(
        "--out", type=Path, default=Path("samples"), metavar="DIR", help="where to (default: samples)"
    )
    parser.add_argument("--mirror", metavar="URL", help="take the file from this address instead")
    parser.add_argument(
        "--accept-unverified", action="store_true", help="take a file whose hash the table does not know"
    )
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Return 0 once the list is printed or the study lies in its folder."""
    if chosen.name is None or chosen.list:
        print(list_text())
    else:
        _fetch(chosen)
    return 0


def list_text() -> str:
    """Return the table of samples for a reader."""
    from coreseg_core.samples import samples

    parts = []
    for sample in samples().values():
        parts.append(
            f"{sample.name}\n  {sample.what}\n  {sample.modality}, {sample.anatomy}; at most "
            f"{sample.max_bytes / 1e6:.0f} MB\n  Licence: {sample.licence}\n  Cite: {sample.citation}"
        )
    return "\n\n".join([*parts, "Fetch one with: coreseg samples NAME --out DIR"])


def _fetch(chosen: argparse.Namespace) -> None:
    from coreseg_core.samples import fetch, samples

    known = samples().get(chosen.name)
    try:
        with progress_bar("fetching", unit="B") as show:
            fetched = fetch(
                chosen.name,
                chosen.out,
                progress=show,
                base_url=chosen.mirror,
                accept_unverified=chosen.accept_unverified,
            )
    except OSError as error:
        raise InputError(
            f"The folder of --out cannot be written ({error.strerror}).",
            remedy="Check its permissions and the space left on the disk, or choose another.",
        ) from error
    checked = "as in the table" if fetched.verified else "NOT in the table; note it"
    print(f"{fetched.path}\n  SHA-256 of the file as it came: {fetched.sha256} ({checked})")
    if known is not None:
        print(f"  Licence: {known.licence}\n  Cite: {known.citation}")
        print(f'Ask it: coreseg ask {fetched.path} "{known.query}" --overlay answer.png')
    print(NOTICE)
