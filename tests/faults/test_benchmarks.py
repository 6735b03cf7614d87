"""The commands that measure faults: short runs, so that they keep working and keep finding nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FAULTS = Path(__file__).parents[2] / "benchmarks" / "faults"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="they read /proc")


def said(script: str, *options: str) -> str:
    """What the command printed; it must end well."""
    command = [sys.executable, str(FAULTS / script), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout


@pytest.mark.parametrize("devices", ["1", "2"])
def test_kills_lose_nothing(devices: str) -> None:
    lines = said("kills.py", "--kills", "8", "--seed", "2", "--devices", devices).splitlines()
    table = {line[:34].strip(): line[34:] for line in lines}
    assert int(table["jobs accepted"]) > 0
    for fault in ("accepted jobs lost", "finished stages run again", "corrupt artifacts"):
        assert table[fault] == "0"


def test_fuzzing_breaks_nothing() -> None:
    lines = said("fuzz.py", "--frames", "5000", "--sent", "500").splitlines()
    assert [line.partition(";")[0] for line in lines if "no crash" in line] == ["decoder: no crash", "broker: no crash"]


@pytest.mark.skipif(find_spec("atheris") is None, reason="there is none for this Python or platform")
def test_breeding_messages_breaks_nothing() -> None:
    lines = said("coverage_fuzz.py", "--frames", "5000").splitlines()
    assert lines[-1] == "no breach"
    assert any(line.startswith("broker: accepted") for line in lines)


def test_the_soak_measures_what_it_says() -> None:
    names = [line[:28].strip() for line in said("soak.py", "--jobs", "20").splitlines()]
    assert names[0] == "empty request"
    assert names[-2:] == ["broker", "worker"]
