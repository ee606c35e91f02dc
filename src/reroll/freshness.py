"""Whether what comes back tells anything: an answer that came before does not, and a call that hung does."""

from __future__ import annotations

from typing import Literal

from reroll.engine import DEAD_AFTER, Cut
from reroll.errors import NotCompleted
from reroll.models.stepped import is_cut
from reroll.sample import Sample
from reroll.session import Session, Slots

__all__ = ["came_back", "count_silence", "look_back", "mark_silence", "overdue", "still_fresh", "stopped_by_us"]

# A call hung that was stopped after so many times what the slowest answer took, and was overtaken: so many answers came
# to calls sent later, and as many as calls were under way. Where a server only got slow, what was sent first comes
# first, but not to the moment: of forty calls sent at once any twenty may be the ones that it still served. Each of
# those makes room for one more call that is not served; so what overtakes one that waits is fewer than all that wait.
OVERDUE, OVERTAKEN = 2.0, 2
HUNG = "no answer for "
STORED, PLACES = 8, 64  # so many stored answers, of so many places, are known when a command goes on


def came_back(session: Session, sample: Sample, now: float | None = None) -> bool:
    """Whether this answer came before. From now on it has, and how long it took is known. `now`: a time of
    `time.monotonic`; None: it came in an earlier command."""
    copy = session.replies.learn(sample)
    session.copies = session.copies + 1 if copy else 0
    if not copy:
        if now is not None and sample.attempts:
            session.answered.append(now - sample.attempts[-1].seconds)
        session.longest = max(session.longest, sum(attempt.seconds for attempt in sample.attempts))
    return copy


def look_back(session: Session, at: Slots, indices: range) -> None:
    """Know some of the answers that earlier commands stored here, before these draws of it are made."""
    looked, place = session.replies.looked, (at.request_id, at.series)
    if place in looked or len(looked) >= PLACES:
        return
    looked.add(place)
    if not indices or indices[0] == 0:
        return
    source: Literal["draw"] = "draw"
    for newest in (False, True):
        for one in session.store.samples(
            request_id=at.request_id, series=at.series, source=source, payload=True, limit=STORED, newest=newest
        ):
            if one.sample.completion is not None:
                came_back(session, one.sample)
    session.copies = 0


def overdue(session: Session, cut: Cut) -> Sample | None:
    """What a call comes to that had not come back when it was stopped.

    None: it is left out, as if it had not been made. Not so one that hung: where failing calls are those that
    hang, whoever stops and goes on would never see one.
    """
    later = sum(sent > cut.sent for sent in session.answered)
    if cut.seconds <= OVERDUE * session.longest or later < max(OVERTAKEN, cut.under_way):
        return None
    return Sample(
        error=f"{HUNG}{cut.seconds:.1f} s, when it was stopped; no other took more than {session.longest:.1f} s"
    )


def stopped_by_us(sample: Sample) -> bool:
    """Whether it was we who ended it, which says nothing about whether the server is there."""
    return is_cut(sample) or (sample.error or "").startswith(HUNG)


def count_silence(session: Session, stored: str, sample: Sample, mute: bool) -> None:
    """One more call is counted among the last in a row that brought nothing, or ends that row.

    One that we ended does neither: it says nothing about whether the server is there.
    """
    if not stopped_by_us(sample):
        session.silent = [*session.silent, [stored]] if mute else []


def mark_silence(session: Session) -> None:
    """The last calls in a row that brought nothing are stored as an outage, which says nothing about the case."""
    session.store.mark_outage([stored for call in session.silent for stored in call])
    session.silent = []


def still_fresh(session: Session) -> None:
    """Raises: NotCompleted when the server only says again what it said before."""
    if session.copies < DEAD_AFTER:
        return
    copies, session.copies = session.copies, 0
    raise NotCompleted(
        f"{session.model.name} gave {copies} answers in a row that it had given before, under the very names that "
        "they had then: something on the way (a cache) hands stored answers out, and those tell nothing; switch it "
        "off, or see whether --fresh with --seed 1, which makes every request another one, gets past it",
        slug="stored-answers",
    )
