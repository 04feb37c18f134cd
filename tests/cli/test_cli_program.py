"""The program around the commands: help at once, exit codes, commands of other packages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coreseg_core import __version__
from coreseg_core.cli import main
from coreseg_core.cli.program import BUILT_IN

REPOSITORY = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "SimpleITK", "scipy", "nibabel", "pydicom")


def test_importing_the_command_line_and_asking_for_help_loads_no_deep_learning_framework() -> None:
    script = (
        "import sys\n"
        "from coreseg_core.cli import main\n"
        "try:\n"
        "    main(['ask', '--help'])\n"
        "except SystemExit as stop:\n"
        "    assert stop.code == 0\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", list(BUILT_IN))
def test_help_of_every_command_teaches_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"  coreseg {command}" in capsys.readouterr().out.split("example", 1)[1]


def test_without_a_command_the_help_is_shown_and_the_exit_code_is_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    said = capsys.readouterr()
    assert "commands:" in said.err
    assert said.out == ""


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert __version__ in capsys.readouterr().out


def test_an_unknown_command_ends_with_exit_code_2() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["diagnose"])
    assert stop.value.code == 2


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a package with commands on the path, as an installer would."""

    def put(module: str, source: str, entry_points: str) -> None:
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[coreseg.commands]\n{entry_points}\n")
        monkeypatch.syspath_prepend(tmp_path)

    return put


def _command(name: str, body: str) -> str:
    return (
        "from coreseg_core.errors import InputError\n"
        "def add(subparsers):\n"
        f"    parser = subparsers.add_parser({name!r}, help='of another package')\n"
        "    parser.add_argument('--times', type=int, default=1)\n"
        "    parser.set_defaults(run=run)\n"
        f"def run(chosen):\n    {body}\n"
    )


def test_a_command_of_another_package_is_listed_and_runs_with_its_own_options(
    install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        "counting_ext",
        _command("count", "print('counted', chosen.times); return 7"),
        "count = counting_ext:add",
    )
    assert main(["count", "--times", "3"]) == 7
    assert capsys.readouterr().out == "counted 3\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "of another package" in capsys.readouterr().out


def test_an_expected_failure_ends_with_2_its_reason_and_its_remedy_and_no_traceback(
    install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    body = "raise InputError('too few', remedy='Take more.')"
    install("failing_ext", _command("fail", body), "fail = failing_ext:add")
    assert main(["fail"]) == 2
    said = capsys.readouterr()
    assert "too few" in said.err
    assert "Take more." in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_a_bug_is_not_swallowed(install: Callable[..., None]) -> None:
    install("buggy_ext", _command("bug", "return {}['missing']"), "bug = buggy_ext:add")
    with pytest.raises(KeyError):
        main(["bug"])


def test_ctrl_c_ends_with_130(install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    install("stopped_ext", _command("stop", "raise KeyboardInterrupt"), "stop = stopped_ext:add")
    assert main(["stop"]) == 130
    assert "Stopped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "entry"),
    [
        ("import a_library_that_is_not_there\n", "broken = broken_ext:add"),
        ("x = 1\n", "broken = broken_ext:add"),
        ("def add(subparsers):\n    subparsers.add_parser('ask')\n", "broken = broken_ext:add"),
    ],
    ids=["missing library", "missing function", "takes a name that is taken"],
)
def test_a_command_that_cannot_be_loaded_says_so_when_called_and_disturbs_no_other(
    source: str, entry: str, install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install("broken_ext", source, entry)
    try:
        assert main(["broken", "--anything", "1"]) == 2
        assert "cannot be loaded" in capsys.readouterr().err
        assert main(["samples"]) == 0
    finally:
        sys.modules.pop("broken_ext", None)


def test_a_built_in_command_keeps_its_name(
    install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install("taking_ext", _command("samples", "return 9"), "samples = taking_ext:add")
    assert main(["samples"]) == 0
    assert "MRHead" in capsys.readouterr().out
