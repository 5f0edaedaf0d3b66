"""kill -9 at random moments while transcriptions end and their webhooks are sent."""

from pathlib import Path

import pytest

from tests.support.harness import Figure, canary, scale
from tests.support.webhook_kills import attack


def test_every_endpoint_is_told_everything_through_many_kills(
    tmp_path: Path, figure: Figure
) -> None:
    kills = scale(30, 5)
    messages, received = attack(tmp_path, kills, failures=0.1)
    figure(
        f"kill -9, {kills} times, while webhooks are sent to a receiver that fails at times",
        "each endpoint gets each message, and none for what did not happen",
        f"{messages} messages, all received, {received - messages} repeated",
    )


@canary
def test_the_attack_detects_messages_that_are_forgotten_before_they_are_sent(
    tmp_path: Path,
) -> None:
    with pytest.raises(AssertionError):
        for kills in (4, 8, 16):  # a kill may miss the moment that shows the fault
            attack(tmp_path / str(kills), kills, broken="messages forgotten before")
