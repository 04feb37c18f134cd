"""`coreseg dataset`: the five steps as commands. Nothing heavy is loaded before a step runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from coreseg_core.cli.exits import GOES_ON, exit_code
from coreseg_core.cli.extensions import Subparsers
from coreseg_core.cli.options import DEVICES
from coreseg_core.cli.progress import progress_bar
from coreseg_core.errors import InputError
from training.dataset.server_options import add_words, chosen_server, chosen_writer, server_plan

DESCRIPTION = """\
Build a data set of hard lesions with reasoning from raw public or own data, as ComLesion-14K was built. Each step
reads a manifest and writes a manifest; a step that is stopped goes on when it is started again. Sources are only read.
Research software, not a medical device."""

EXAMPLES = """\
the whole way without any server:
  coreseg dataset import --source busi=/data/BUSI --source hospital.yaml=/data/own --out set
  coreseg dataset filter set/imported.jsonl --out set/filtered.jsonl
  coreseg dataset reason set/filtered.jsonl --out set/reasoned.jsonl
  coreseg dataset judge  set/reasoned.jsonl --out set/judged.jsonl
  coreseg dataset card   set/judged.jsonl   --out set/card

docs/dataset.md explains the steps and the description of a source."""


def dataset_command(subparsers: Subparsers) -> None:
    """Add the parser of `coreseg dataset`."""
    parser = subparsers.add_parser(
        "dataset",
        help="build a data set from raw data",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_steps(parser)


@partial(exit_code, stopped=GOES_ON)
def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code of `python -m training.dataset`."""
    parser = argparse.ArgumentParser(
        prog="python -m training.dataset",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_steps(parser)
    chosen = parser.parse_args(arguments)
    return int(chosen.run(chosen))


def _add_steps(parser: argparse.ArgumentParser) -> None:
    steps: Subparsers = parser.add_subparsers(title="steps", metavar="STEP", required=True)
    _add_import(steps)
    _add_filter(steps)
    _add_reason(steps)
    _add_judge(steps)
    _add_card(steps)


def _add_import(steps: Subparsers) -> None:
    parser = steps.add_parser("import", help="bring raw data sets into one manifest")
    parser.add_argument(
        "--source",
        action="append",
        required=True,
        metavar="NAME=FOLDER",
        help="a source that ships or a YAML file, and where its data lie; may be given several times",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="pictures, masks, imported.jsonl"
    )
    parser.add_argument(
        "--test", type=float, default=0.177, help="share of patients in test (default: 0.177)"
    )
    parser.add_argument("--val", type=float, default=0.0, help="share of patients in val (default: 0)")
    parser.add_argument("--seed", type=int, default=0, help="chooses them (default: 0)")
    parser.add_argument(
        "--long-side",
        type=int,
        default=512,
        metavar="PX",
        help="larger pictures are made smaller (default: 512)",
    )
    parser.add_argument(
        "--near", type=float, default=0.99, help="correlation of near duplicates (default: 0.99)"
    )
    parser.add_argument(
        "--drop-near",
        action="store_true",
        help="leave near duplicates out instead of keeping them in one part",
    )
    parser.set_defaults(run=_import)


def _import(chosen: argparse.Namespace) -> int:
    from training.dataset.importing import Given, import_sources
    from training.dataset.left_out import counts_text
    from training.dataset.sources import find_source
    from training.dataset.splits import SplitPlan

    if not (chosen.test >= 0 and chosen.val >= 0 and chosen.test + chosen.val <= 1 and 0 < chosen.near <= 1):
        raise InputError(
            "--test, --val and --near are shares.", remedy="Give numbers from 0 to 1, together at most 1."
        )
    if chosen.long_side < 32:
        raise InputError(f"--long-side {chosen.long_side}.", remedy="Give at least 32 pixels.")
    given = []
    for words in chosen.source:
        name, equals, folder = words.partition("=")
        if not equals or not folder:
            raise InputError("--source lacks its folder.", remedy="Write NAME=FOLDER or FILE.yaml=FOLDER.")
        given.append(Given(source=find_source(name), root=Path(folder)))
    plan = SplitPlan(
        test=chosen.test, val=chosen.val, seed=chosen.seed, near=chosen.near, drop_near=chosen.drop_near
    )
    with progress_bar("importing", unit="case") as show:
        done = import_sources(given, chosen.out, plan=plan, long_side_px=chosen.long_side, progress=show)
    print(f"{len(done.rows)} rows -> {done.manifest}; left out: {counts_text(done.left_out)}")
    return 0


def _add_filter(steps: Subparsers) -> None:
    parser = steps.add_parser("filter", help="keep the pictures that a plain U-Net finds hard")
    _add_manifests(parser)
    parser.add_argument("--folds", type=int, default=5, help="U-Nets for each set (default: 5)")
    parser.add_argument("--epochs", type=int, default=40, help="of each U-Net, at most (default: 40)")
    parser.add_argument(
        "--patience", type=int, default=10, help="epochs without gain that end it (default: 10)"
    )
    parser.add_argument(
        "--side", type=int, default=256, metavar="PX", help="side of its pictures (default: 256)"
    )
    parser.add_argument(
        "--negatives", type=float, default=0.25, help="share of lesion-free pictures, at most (default: 0.25)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="threads of PyTorch (default: its own choice)")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.set_defaults(run=_filter)


def _filter(chosen: argparse.Namespace) -> int:
    import torch

    from training.baselines.unet import UNetConfig
    from training.dataset.filtering import FilterPlan, filter_manifest

    if chosen.folds < 2 or not 0 <= chosen.negatives < 1:
        raise InputError(
            f"--folds {chosen.folds}, --negatives {chosen.negatives}.",
            remedy="Give at least 2 folds, and a share from 0 to below 1.",
        )
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    cuda = chosen.device == "cuda" or (chosen.device == "auto" and torch.cuda.is_available())
    config = UNetConfig(epochs=chosen.epochs, patience=chosen.patience, side_px=chosen.side, seed=chosen.seed)
    plan = FilterPlan(folds=chosen.folds, negatives=chosen.negatives, config=config)
    with progress_bar("scoring", unit="picture") as show:
        sets = filter_manifest(
            chosen.manifest,
            chosen.out,
            plan=plan,
            device=torch.device("cuda" if cuda else "cpu"),
            progress=show,
        )
    for one in sets:
        print(
            f"{one.name}: {len(one.kept)} of {len(one.rows)} kept, Dice at most {one.decision.threshold:.3f}"
        )
    return 0


def _add_manifests(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="what the step before wrote")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="MANIFEST",
        help="a new .jsonl beside it; reports go into its folder",
    )


def _add_reason(steps: Subparsers) -> None:
    parser = steps.add_parser("reason", help="write a question, a reasoning and the answer for each picture")
    _add_manifests(parser)
    add_words(parser)
    parser.add_argument(
        "--mixed",
        action="store_true",
        help="ask a quarter of the pictures a second question that does not fit",
    )
    parser.set_defaults(run=_reason)


def _reason(chosen: argparse.Namespace) -> int:
    from training.dataset.left_out import counts_text
    from training.dataset.reasoning import ReasonPlan, estimate, reason

    plan = ReasonPlan(seed=chosen.seed, mixed=chosen.mixed, tries=chosen.tries, workers=chosen.workers)
    writer, server = chosen_writer(chosen)
    if chosen.dry_run:
        with progress_bar("estimating", unit="row") as show:
            print(
                estimate(chosen.manifest, writer, plan=plan, progress=show).text(
                    server_plan(chosen, chosen.model)
                )
            )
        return 0
    with progress_bar("writing", unit="row") as show:
        done = reason(chosen.manifest, chosen.out, writer, plan=plan, server=server, progress=show)
    print(f"{len(done.rows)} rows -> {chosen.out}; left out: {counts_text(done.left_out)}")
    return 0


def _add_judge(steps: Subparsers) -> None:
    parser = steps.add_parser(
        "judge", help="score each reasoning, write it again where it is not good enough"
    )
    _add_manifests(parser)
    add_words(parser)
    parser.add_argument("--judge", choices=("offline", "server"), default="offline", help="who scores")
    parser.add_argument("--judge-model", metavar="NAME", help="a second model, as its server calls it")
    parser.add_argument("--judge-base-url", metavar="URL", help="its server (default: --base-url)")
    parser.add_argument("--bar", type=float, default=0.8, help="least score (default: 0.8)")
    parser.add_argument("--rounds", type=int, default=3, help="how often one is written again (default: 3)")
    parser.set_defaults(run=_judge)


def _judge(chosen: argparse.Namespace) -> int:
    from training.dataset.judges import Judge, MeasuredJudge, ServerJudge
    from training.dataset.judging import JudgePlan, estimate_judging, judge_manifest
    from training.dataset.left_out import counts_text

    plan = JudgePlan(
        seed=chosen.seed, bar=chosen.bar, rounds=chosen.rounds, tries=chosen.tries, workers=chosen.workers
    )
    writer, server = chosen_writer(chosen)
    servers = [] if server is None else [server]
    judge: Judge = MeasuredJudge()
    if chosen.judge == "server":
        second = chosen_server(chosen, chosen.judge_model, base_url=chosen.judge_base_url)
        servers.append(second)
        judge = ServerJudge(server=second, measured=MeasuredJudge())
    if chosen.dry_run:
        with progress_bar("estimating", unit="row") as show:
            expected = estimate_judging(chosen.manifest, judge, plan=plan, progress=show)
        print(expected.text(server_plan(chosen, chosen.judge_model, base_url=chosen.judge_base_url)))
        return 0
    with progress_bar("judging", unit="row") as show:
        done = judge_manifest(
            chosen.manifest, chosen.out, judge, writer, plan=plan, servers=tuple(servers), progress=show
        )
    agreement = "none" if done.agreement is None else f"{done.agreement:.1%}"
    print(
        f"{len(done.rows)} rows -> {chosen.out}, {done.passed_at_once} at once; statements that the mask supports: "
        f"{agreement}; left out: {counts_text(done.left_out)}"
    )
    return 0


def _add_card(steps: Subparsers) -> None:
    parser = steps.add_parser("card", help="count and show what is in the set, and write copies to pass on")
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="report.md, pictures, copies"
    )
    parser.add_argument(
        "--export",
        action="append",
        choices=("tuples", "huggingface"),
        default=[],
        help="a copy as (image, mask, query, reasoning, answer), or as a Hugging Face data set folder",
    )
    parser.add_argument(
        "--all-licences", action="store_true", help="copy rows too that may not plainly be passed on"
    )
    parser.add_argument("--name", default="ComLesion-style data set", help="title of the set")
    parser.set_defaults(run=_card)


def _card(chosen: argparse.Namespace) -> int:
    from training.dataset.card import CardPlan, write_card

    plan = CardPlan(
        exports=tuple(dict.fromkeys(chosen.export)), all_licences=chosen.all_licences, name=chosen.name
    )
    with progress_bar("drawing and copying", unit="picture") as show:
        done = write_card(chosen.manifest, chosen.out, plan=plan, progress=show)
    print(f"{done.rows} rows -> {chosen.out / 'report.md'}")
    for name, number in done.exported.items():
        print(f"{name}: {number} rows; {done.held_back} held back for their licence")
    return 0
