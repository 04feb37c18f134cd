"""The description of the routes, read by `schemathesis` and asked against a server over a socket (`make tools`)."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from living import Live, chosen

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(
        "CORESEG_TOOLS" not in os.environ, reason="CORESEG_TOOLS names no environment: `make tools`"
    ),
]

# Less than pytest's: it would end the test and leave the program.
PATIENCE_S = 4 * 3600 - 900
# They start processes of minutes each, or are other programs' static pages.
LEFT_OUT = ["/scoring/{method}", "/batch/infer/{model}", "/ohif/.*", "/proxy/.*"]


def test_no_request_that_the_description_allows_is_a_fault(live: Live, tmp_path: Path) -> None:
    http = live.start()
    paths = http.get("/openapi.json").json()["paths"]
    operations = sum(len(methods) for methods in paths.values())
    wanted = int(chosen("CORESEG_TEST_REQUESTS", 2000))
    command = [Path(os.environ["CORESEG_TOOLS"]) / "bin" / "schemathesis", "run"]
    command += [f"http://127.0.0.1:{live.port}/openapi.json", "--no-color", "--suppress-health-check", "all"]
    command += [
        "--checks",
        "nothing_of_the_inside,no_fault_but_a_full_queue",
        "--phases",
        "examples,coverage,fuzzing",
    ]
    command += [
        "--max-examples",
        str(-(-wanted // operations)),
        "--continue-on-failure",
        "--request-timeout",
        "1800",
    ]
    for path in LEFT_OUT:
        command += ["--exclude-path-regex", path.replace("{", r"\{").replace("}", r"\}")]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("schemathesis_checks.py")),
        "CORESEG_TEST_STORE": str(live.store),
    }
    environment.pop("PYTHONPATH", None)
    ran = subprocess.run(
        command,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    print(ran.stdout[-4000:])
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    sent = re.search(r"(\d+) generated", ran.stdout)
    assert sent is not None and int(sent[1]) >= wanted
    print(f"{sent[1]} requests over {operations} operations")
    assert http.get("/coreseg/health").status_code == 200
