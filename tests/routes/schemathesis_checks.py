"""What `schemathesis` holds every answer against, beside its own check for statuses of 500 and above."""

from __future__ import annotations

import os
from typing import Any

import schemathesis

INSIDE = ("Traceback", "site-packages", "/lib/python", os.environ.get("CORESEG_TEST_STORE", "\0"))


@schemathesis.check
def nothing_of_the_inside(ctx: Any, response: Any, case: Any) -> None:
    """Fail on a traceback or a path of the server in the body of a refusal."""
    if response.status_code >= 400:
        found = [mark for mark in INSIDE if mark in response.text]
        assert not found, f"{found} in the body of a {response.status_code}"


@schemathesis.check
def no_fault_but_a_full_queue(ctx: Any, response: Any, case: Any) -> None:
    """Fail on a status of 500 and above, 503 excepted, which says when to come again or what is missing."""
    assert response.status_code < 500 or response.status_code == 503, response.text[:300]
