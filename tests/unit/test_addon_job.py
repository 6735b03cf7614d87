"""The add-on's view of a job, and the session that keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from addon.wire.errors import Cancelled, InputError
from addon.wire.protocol import Event, JobSpec

from addon.core.job import Job, Phase, Source, duration
from addon.core.link import BackendState, Delivered, Failed, Jobs, News, Order, Sending, Starting
from addon.core.result import Imagined
from addon.core.session import Session


def job(**spec: object) -> Job:
    return Job(JobSpec(**spec), picture="cup.png", scene="Scene", id="a" * 32)


def event(state: str, stage: str | None = None, step: int = 0, total: int = 0, **more: object) -> Event:
    return Event("a" * 32, 1, 0.0, state, stage, step, total, **more)


def order(one: Job, known: bool = False) -> Order:
    return Order(one.id, one.spec, None if known else lambda: b"png", Path("folder"), Path("python"))


class ScriptedLink:
    """Says what the test puts into `script`, and notes what it is asked."""

    def __init__(self) -> None:
        self.script: list[News] = []
        self.asked: list[object] = []

    def do(self, order: Order) -> None:
        self.asked.append(order)

    def cancel(self, job: str) -> None:
        self.asked.append(("cancel", job))

    def look_for_backend(self) -> None:
        self.asked.append("look")

    def list_jobs(self, folder: Path) -> None:
        self.asked.append("list")

    def news(self) -> Iterator[News]:
        while self.script:
            yield self.script.pop(0)


@pytest.fixture
def link() -> ScriptedLink:
    return ScriptedLink()


@pytest.fixture
def desk() -> ScriptedLink:
    return ScriptedLink()


@pytest.fixture
def session(link: ScriptedLink, desk: ScriptedLink) -> Session:
    return Session(link, desk)


def test_the_usual_way(session: Session, link: ScriptedLink) -> None:
    one = job()
    session.reconstruct(one, order(one))
    link.script = [Starting(one.id), Sending(one.id), event("queued"), event("running", "views", 4, 16)]
    assert session.take_news()
    assert (one.phase, one.headline) == (Phase.RUNNING, "Drawing it from all sides")
    assert one.fraction == pytest.approx((2 + 4 / 16) / 4)
    link.script = [event("done"), Delivered(one.id, "imagined", "result")]
    session.take_news()
    assert (one.phase, one.imagined, one.result, one.fraction) == (Phase.ARRIVED, "imagined", "result", 1.0)
    one.enter(Phase.PLACED)
    assert not session.busy
    assert not session.take_news()


def test_jobs_wait_for_their_turn(session: Session, link: ScriptedLink) -> None:
    one, two, three = (replace(job(), id=letter * 32) for letter in "abc")
    for each in (one, two, three):
        session.reconstruct(each, order(each))
    assert session.jobs == [one, two, three]
    assert [asked.job for asked in link.asked] == [one.id]
    session.take_back(two.id)
    link.script = [Failed(one.id, InputError("No."))]
    session.take_news()
    assert session.job is three
    assert session.failed == [one], "what went wrong is still told"
    assert [asked.job for asked in link.asked] == [one.id, three.id]


def test_a_choice_holds_up_those_that_wait(session: Session, link: ScriptedLink) -> None:
    one, two, chosen = (replace(job(), id=letter * 32) for letter in "abc")
    session.reconstruct(one, order(one))
    session.reconstruct(two, order(two))
    link.script = [event("running"), event("done"), Delivered(one.id, "imagined", None)]
    session.take_news()
    assert session.job is one
    assert not session.expects_news, "a timer would run for nothing"
    session.reconstruct(chosen, order(chosen))
    assert session.job is chosen


def test_cancel_is_not_taken_back_by_late_progress(session: Session, link: ScriptedLink) -> None:
    one = job()
    session.reconstruct(one, order(one))
    session.cancel()
    assert link.asked[-1] == ("cancel", one.id)
    link.script = [Sending(one.id), event("running", "segment", 1, 2)]
    session.take_news()
    assert one.phase is Phase.CANCELLING
    assert not one.cancellable
    link.script = [Failed(one.id, Cancelled("The job was cancelled."))]
    session.take_news()
    assert one.phase is Phase.CANCELLED


def test_cancel_too_late_still_delivers(session: Session, link: ScriptedLink) -> None:
    one = job()
    session.reconstruct(one, order(one))
    link.script = [event("running")]
    session.take_news()
    session.cancel()
    link.script = [event("done"), Delivered(one.id, "imagined", "result")]
    session.take_news()
    assert one.phase is Phase.ARRIVED


def test_a_choice_ends_the_job(session: Session, link: ScriptedLink) -> None:
    one = job(to="complete", seed=7)
    session.reconstruct(one, order(one))
    link.script = [event("running"), event("done"), Delivered(one.id, "imagined", None)]
    session.take_news()
    assert one.phase is Phase.CHOOSING
    assert not session.busy


def test_a_completion_that_is_handed_in_leaves_nothing_to_choose() -> None:
    source = Source.from_text(job(to="complete", seed=7, choose=2).source.to_text())
    assert source == Source("a" * 32, JobSpec(to="complete", seed=7, choose=2), "cup.png")
    assert source.going_on(preset="fast") == JobSpec(to="mesh", seed=7, preset="fast")


def test_a_completion_goes_on_where_it_lies() -> None:
    """Not all lie about the visible part."""
    before = job(to="complete")
    before.imagined = Imagined((), (), 0, {}, (640, 480), [], (-20, 30, 250))  # type: ignore[arg-type]
    assert before.source.going_on().crop == (-20, 30, 250)


def test_a_job_that_was_done_long_before(session: Session, link: ScriptedLink) -> None:
    one = job()
    session.reconstruct(one, order(one, known=True))
    link.script = [Sending(one.id), Delivered(one.id, "imagined", "result")]
    session.take_news()
    assert one.phase is Phase.ARRIVED


def test_an_error_ends_the_job_and_can_be_dismissed(session: Session, link: ScriptedLink) -> None:
    one = job()
    session.reconstruct(one, order(one))
    session.dismiss()
    assert session.job is one, "a running job cannot be dismissed"
    link.script = [Failed(one.id, InputError("No.", "Do this."))]
    session.take_news()
    assert (one.phase, one.error.cure) == (Phase.FAILED, "Do this.")
    session.dismiss()
    assert session.job is None


def test_news_of_another_job_is_ignored(session: Session, link: ScriptedLink) -> None:
    one = job()
    session.reconstruct(one, order(one))
    link.script = [Failed("b" * 32, InputError("No."))]
    session.take_news()
    assert one.phase is Phase.SENDING


def test_questions_are_answered_while_a_job_runs(session: Session, desk: ScriptedLink) -> None:
    assert not session.expects_news
    session.look_for_backend()
    assert session.expects_news
    desk.script = [BackendState(True), Jobs(["a job"], {})]
    session.list_jobs(Path("folder"))
    assert desk.asked == ["look", "list"]
    session.take_news()
    assert session.backend_runs
    assert session.listed.jobs == ["a job"]
    assert not session.expects_news


@pytest.mark.parametrize(
    ("first", "then"),
    [(Phase.SENDING, Phase.PLACED), (Phase.QUEUED, Phase.ARRIVED), (Phase.FAILED, Phase.RUNNING)],
)
def test_no_way_leads_there(first: Phase, then: Phase) -> None:
    one = job()
    one.phase = first
    with pytest.raises(ValueError, match="cannot go"):
        one.enter(then)


def test_a_restarted_backend_queues_the_job_again() -> None:
    one = job()
    for state in ("queued", "running", "queued", "running"):
        one.progress(event(state))
    assert one.phase is Phase.RUNNING


def test_the_bar_counts_only_the_stages_ahead() -> None:
    one = job(to="complete")
    one.progress(event("running", "complete", 1, 2))
    assert one.fraction == pytest.approx(0.75)
    one.progress(event("running", "warming up", 1, 2))
    assert one.headline == "Warming up"
    assert one.fraction == 0.0


def test_details_tell_step_and_time_left() -> None:
    one = job()
    one.progress(event("running", "views", 3, 16, eta=130.0))
    assert one.details == ["Step 3 of 16", "About 2 min left"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1 s"), (8.4, "8 s"), (89, "89 s"), (150, "2 min"), (4800, "80 min"), (6000, "1 h 40 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
