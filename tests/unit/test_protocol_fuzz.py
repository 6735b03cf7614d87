"""Whatever comes over the wire, decoding gives a message or a ProtocolError, and a spec is good or an InputError."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from unocclude.errors import InputError
from unocclude.protocol import ANSWERS, REQUESTS, VERSION, Event, JobInfo, JobSpec, ProtocolError, Shape, decode

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
SPEC_FIELDS = st.sampled_from([*JobSpec.__dataclass_fields__, "other"])


@st.composite
def messages(draw: st.DrawFn, shapes: dict[str, Shape]) -> list[bytes]:
    """A header with the right fields and any values, now and then with a field too few; and any blobs."""
    kind = draw(st.sampled_from(list(shapes)))
    header = {"v": VERSION, "type": kind, **{name: draw(VALUES) for name in shapes[kind].fields}}
    header.pop(draw(st.sampled_from([*header, "none of them"])), None)
    return [json.dumps(header).encode(), *draw(st.lists(st.binary(max_size=20), max_size=3))]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=80), max_size=5) | messages(REQUESTS))
def test_requests_are_decoded_or_refused(frames: list[bytes]) -> None:
    try:
        message = decode(frames, REQUESTS)
    except ProtocolError:
        return
    assert message.type in REQUESTS
    assert isinstance(message.fields["id"], int)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(messages(ANSWERS))
def test_answers_are_decoded_or_refused(frames: list[bytes]) -> None:
    try:
        message = decode(frames, ANSWERS)
        if message.type == "event":
            Event.from_json(message.fields)
        if message.type == "job":
            JobInfo.from_json(message.fields["info"])
    except (ProtocolError, InputError):
        return


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.dictionaries(SPEC_FIELDS, VALUES, max_size=4))
def test_a_spec_is_good_or_an_input_error(values: dict[str, Any]) -> None:
    try:
        spec = JobSpec.from_json(values)
    except InputError:
        return
    assert JobSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
