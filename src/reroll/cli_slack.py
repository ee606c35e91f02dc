"""The command line of Slack: words into calls of the functions beneath, registered by `reroll.cli`."""

from __future__ import annotations

from reroll.arguments import Common

__all__ = ["slack"]

COMMON = Common()


def slack(
    *,
    manifest: bool = False,
    url: str | None = None,
    port: int | None = None,
    host: str = "127.0.0.1",
    pages: str | None = None,
    max_usd_user: float | None = None,
    max_usd_channel: float | None = None,
    budget: int | None = None,
    common: Common = COMMON,
) -> int:
    """Answer “I tried X and it didn't work” on Slack, where it is said: measured, with its price first.

    Parameters
    ----------
    manifest
        Only print the manifest that makes the Slack app, as JSON.
    url
        With --manifest: the public address at which Slack reaches --port; without it the app uses Socket Mode.
    port
        Take Slack's requests over HTTP at this port (0: a free one); without it reroll connects by Socket Mode.
    host
        The address to listen at.
    pages
        Where people reach `reroll serve`, such as https://reroll.example.org: answers link to it.
    max_usd_user
        What one person may spend in 24 hours.
    max_usd_channel
        What one channel may spend in 24 hours.
    budget
        No job may make more calls.
    """
    from reroll import commands_slack

    if manifest:
        return commands_slack.print_manifest(url)
    caps = (max_usd_user, max_usd_channel)
    return commands_slack.answer_slack(host, port, pages, caps, budget, common)
