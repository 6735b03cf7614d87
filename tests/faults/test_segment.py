"""Clicks: answered beside a running job, the newest first, and by a new process where the old one died."""

from __future__ import annotations

import hashlib
import io
from queue import Queue

import numpy as np
import pytest
import zmq
from PIL import Image
from unocclude.clicks import ClickAnswer, Clicks
from unocclude.client import VisiblePart
from unocclude.connection import Connection
from unocclude.errors import InputError, UnoccludeError
from unocclude.link import open_dealer
from unocclude.protocol import ANSWERS, JobSpec, Prompt, decode, encode


def at(x: float) -> Prompt:
    return Prompt(points=((x, 0.0),))


def lit(part: VisiblePart | None) -> int:
    """Pixels of the mask."""
    assert part is not None
    picture = Image.open(io.BytesIO(part.mask))
    assert (picture.mode, picture.size) == ("L", (64, 32))
    assert part.rating == 0.75
    return int((np.asarray(picture) == 255).sum())


def answer_of(answers: Queue[ClickAnswer], number: int) -> ClickAnswer:
    while (answer := answers.get(timeout=60)).number != number:
        assert answer.number < number
    return answer


def test_an_image_is_sent_and_encoded_once(backend) -> None:
    image = b"once"
    with backend.client() as client:
        client.prepare(image)
        assert [lit(client.segment(image, at(x))) for x in (3, 20, 64)] == [3, 20, 64]
    with backend.client() as another:
        assert lit(another.segment(image, at(5))) == 5
        assert lit(another.segment(image, at(5), profile="other")) == 5
    encoded = (backend.home / "encoded.txt").read_text().splitlines()
    assert [line for line in encoded if line.endswith(" once")] == ["bundled once", "other once"]


def test_clicks_do_not_wait_for_a_job(backend) -> None:
    with backend.client() as client:
        job = client.submit(JobSpec(), b"steps=100000 pause=0.02")
        try:
            next(event for event in client.follow(job) if event.state == "running")
            assert lit(client.segment(b"beside", at(7))) == 7
            assert client.job(job).state == "running"
        finally:
            client.cancel(job)


def test_an_image_that_the_backend_lost_is_sent_again(backend) -> None:
    image = b"lost"
    with backend.client() as client:
        client.segment(image, at(1))
        digest = hashlib.sha256(image).hexdigest()
        (backend.home / "blobs" / digest[:2] / digest[2:]).unlink()
        assert lit(client.segment(image, at(2))) == 2


def test_the_newest_request_takes_the_place_of_one_that_waits(backend) -> None:
    connection = Connection.load(backend.home)
    image = b"pause=0.3"
    header = {"image": hashlib.sha256(image).hexdigest(), "profile": "bundled"}
    with backend.client() as client:
        client.prepare(image)
    with zmq.Context() as context, open_dealer(context, connection) as socket:
        socket.connect(connection.endpoint)
        for number in range(1, 6):
            prompt = {"points": [[number, 0]]}
            socket.send_multipart(encode("segment", {"id": number, **header, "prompt": prompt}))
        answers = {}
        while len(answers) < 5:
            assert socket.poll(60_000)
            answer = decode(socket.recv_multipart(), ANSWERS)
            answers[answer.fields["re"]] = answer
    assert [answers[number].type for number in (1, 5)] == ["mask", "mask"] or answers[1].fields["code"] == "outdated"
    assert lit(VisiblePart(answers[5].blobs[0], answers[5].fields["rating"])) == 5
    assert {answers[number].fields.get("code") for number in (2, 3, 4)} == {"outdated"}


def test_clicks_from_a_thread_that_must_not_wait(backend) -> None:
    answers: Queue[ClickAnswer] = Queue()
    clicks = Clicks(answers.put, backend.home)
    try:
        image = b"pause=0.2"
        ready = clicks.ask(lambda: image, None)
        assert answer_of(answers, ready) == ClickAnswer(ready)
        numbers = [clicks.ask(lambda: image, at(x)) for x in range(1, 10)]
        assert lit(answer_of(answers, numbers[-1]).part) == 9
        failed = answer_of(answers, clicks.ask(lambda: b"raise", at(1))).error
        assert isinstance(failed, InputError)
        assert answers.empty()
    finally:
        clicks.close()


def test_clicks_without_a_backend_say_so(tmp_path) -> None:
    answers: Queue[ClickAnswer] = Queue()
    clicks = Clicks(answers.put, tmp_path)
    try:
        error = answer_of(answers, clicks.ask(lambda: b"image", at(1))).error
        assert isinstance(error, UnoccludeError)
        assert "unocclude serve" in error.cure
    finally:
        clicks.close()


@pytest.mark.parametrize(("image", "code"), [(b"raise", "input"), (b"fault", "internal"), (b"crash-once", "worker")])
def test_a_click_that_fails_says_why_and_the_next_one_works(backend, image: bytes, code: str) -> None:
    with backend.client() as client:
        with pytest.raises(UnoccludeError) as caught:
            client.segment(image, at(1))
        assert caught.value.code == code
        assert caught.value.cure
        assert lit(client.segment(b"after", at(4))) == 4


@pytest.mark.parametrize("segmenter", ["there_is_no_such_module:embed", "fake_segmenter:dies"])
def test_a_segmenter_that_dies_at_its_start_fails_the_click_alone(new_backend, segmenter: str) -> None:
    backend = new_backend(segmenter=segmenter).start()
    with backend.client() as client:
        for _ in range(2):
            with pytest.raises(UnoccludeError, match="segmenter ended with exit code") as caught:
                client.segment(b"image", at(1))
            assert caught.value.code == "worker"
        client.wait(client.submit(JobSpec(), b"steps=1"))


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": {"points": [[1, 2]] * 100}},
        {"prompt": {"points": "here"}},
        {"image": "../../etc/passwd"},
        {"profile": "../official"},
    ],
)
def test_a_bad_request_for_a_mask_is_refused(backend, fields: dict) -> None:
    connection = Connection.load(backend.home)
    good = {"id": 1, "image": hashlib.sha256(b"image").hexdigest(), "profile": "bundled", "prompt": None}
    with backend.client() as client:
        client.prepare(b"image")
    with zmq.Context() as context, open_dealer(context, connection) as socket:
        socket.connect(connection.endpoint)
        socket.send_multipart(encode("segment", {**good, **fields}))
        assert socket.poll(20_000)
        answer = decode(socket.recv_multipart(), ANSWERS)
    assert answer.type == "error"
    assert answer.fields["code"] in ("protocol", "input")
