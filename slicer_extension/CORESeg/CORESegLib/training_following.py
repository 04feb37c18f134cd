"""Following a training in a worker: it runs on the server, so whatever breaks here, it is found again there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from CORESegLib.model_versions import Versions
from CORESegLib.server_calls import pause_for
from CORESegLib.stopping import CancelToken
from CORESegLib.training_client import TrainingClient
from CORESegLib.training_stand import TrainingStand
from CORESegLib.trouble import Trouble

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Away:
    """The server cannot be reached just now; the training goes on there, and is asked for again."""

    trouble: Trouble


TrainingMessage = TrainingStand | Versions | Away
Tell = Callable[[TrainingMessage], None]


def follow(
    client: TrainingClient,
    run: str,
    tell: Tell,
    cancel: CancelToken,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Tell where a training stands after each of its events; at its end the versions, and return.

    A server that is away is asked again for as long as nobody cancels.

    Args:
        client: The server.
        run: The training.
        tell: Takes messages, in this thread.
        cancel: Ends the following, not the training.
        pause: Waits between attempts.

    Raises:
        Trouble: The server knows no such training, or does not let this panel in.
    """
    stand, last_id, failures = TrainingStand(run=run), 0, 0
    while True:
        before = last_id
        try:
            # The curves come from the events, which begin at the first one: a panel that comes late sees them whole.
            stand = replace(client.stand(run, cancel), losses=stand.losses, dices=stand.dices)
            tell(stand)
            for event in client.events(run, last_id, cancel):
                if event.id > last_id:
                    last_id, stand = event.id, stand.after(event)
                    tell(stand)
            if stand.ended:
                # Its last event comes a moment before the state on the server says so too.
                tell(client.versions(cancel))
                return
        except Trouble as trouble:
            if not trouble.retryable:
                raise
            tell(Away(trouble=trouble))
        failures = 0 if last_id > before else failures + 1
        pause_for(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures, 8)), cancel, pause)
