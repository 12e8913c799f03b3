"""What a tick brought: a group's result in terms of jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.core.errors import RnnserveError
from app.core.plan import GroupPlan, GroupResult
from app.core.sequence import FinishReason, Outputs, Read, Token
from app.engine.cohort import Cohort
from app.engine.feeding import Feeding
from app.engine.job import Job

_WITH_TOKEN = (FinishReason.LENGTH, FinishReason.STOP)
"""Ends whose last token is part of the text; an end token is not."""


@dataclass(slots=True, eq=False)
class Batch:
    """A token for each of the jobs, in their order; plain ids where nothing else was asked for.

    Attributes:
        first: it is the first one of each.
    """

    jobs: list[Job]
    tokens: Sequence[Token | int]
    first: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """What one tick brought one job, beside tokens.

    Attributes:
        outputs: outputs of supplied steps that were read.
        end: why it is over, or the error that ended it, or ``None`` while it goes on. The slot
            of a job that is over stays its own until it is removed.
    """

    job: Job
    outputs: Outputs | None = None
    end: FinishReason | RnnserveError | None = None


@dataclass(slots=True, eq=False)
class Outcome:
    """What a tick brought all jobs.

    Attributes:
        batches: tokens. They come before the end of the same job in ``progress``, and after
            its outputs.
        progress: outputs and ends.
        steps: supplied steps and tokens that jobs which are still known have left less than before.
    """

    batches: list[Batch] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    steps: int = 0


def book_cohort(cohort: Cohort, result: GroupResult, is_known: Callable[[Job], bool]) -> Outcome:
    """Book a tick of a cohort in which some member ends, fails or has left."""
    jobs = cohort.jobs
    cohort.advance(result.seconds)
    cohort.settle()
    ends: dict[int, FinishReason | RnnserveError] = {
        place: FinishReason.LENGTH for place, job in enumerate(jobs) if job.to_produce == 0
    }
    ends.update(result.ended)
    ends.update(result.errors)
    without_token = {place for place, end in ends.items() if end not in _WITH_TOKEN}
    for place in without_token:
        jobs[place].produced -= 1
    left = {place for place, job in enumerate(jobs) if not is_known(job)}
    silent = without_token | left
    tokens = _padded(result, len(jobs))
    batch = Batch(jobs, tokens)
    if silent:
        heard = [place for place in range(len(jobs)) if place not in silent]
        batch = Batch([jobs[place] for place in heard], [tokens[place] for place in heard])
    progress = [Progress(jobs[place], None, end) for place, end in ends.items() if place not in left]
    return Outcome([batch], progress, len(jobs) - len(left))


def book_fed(feeding: Feeding, result: GroupResult, is_known: Callable[[Job], bool]) -> Outcome:
    """Book a group whose supplied steps advanced."""
    plan, outcome = feeding.plan, Outcome()
    drawn: list[Job] = []
    tokens: list[Token | int] = []
    num_sampled = 0
    for place, job in enumerate(feeding.jobs):
        sampled = isinstance(plan, GroupPlan) and plan.sample[place]
        num_sampled += sampled
        if not is_known(job):
            continue
        job.supplied -= plan.length
        job.consumed += plan.length
        job.compute_s += result.seconds
        job.largest_batch = max(job.largest_batch, plan.rows)
        outcome.steps += plan.length * job.width
        if isinstance(plan, GroupPlan):
            end = result.errors.get(place) or result.ended.get(place)
            outputs = None if place in result.errors else _outputs(job, plan.read[place], place, result)
            if sampled and (end is None or end is FinishReason.STOP):
                job.produced += 1
                job.to_produce -= 1
                outcome.steps += 1
                drawn.append(job)
                tokens.append(result.tokens[num_sampled - 1])
        else:
            # A block's rows fail each for itself, and the block says so when it ends.
            end, outputs = None, None
        if end is None and job.supplied == 0 and job.to_produce == 0:
            end = FinishReason.LENGTH if job.produced else FinishReason.SUPPLIED
        if end is not None or outputs is not None:
            outcome.progress.append(Progress(job, outputs, end))
    if drawn:
        outcome.batches.append(Batch(drawn, tokens, first=True))
    return outcome


def _padded(result: GroupResult, rows: int) -> Sequence[Token | int]:
    """The tokens, or one that means nothing for each row of a run that failed."""
    return result.tokens or [0] * rows


def _outputs(job: Job, read: Read, place: int, result: GroupResult) -> Outputs | None:
    if read is Read.NONE or not result.values:
        return None
    first = None if read is Read.ALL else -1
    # Copies, so that one reader does not keep the whole batch's output alive.
    values = tuple(value[place, first:].copy() for value in result.values)
    return Outputs(job.consumed - len(values[0]), values)
