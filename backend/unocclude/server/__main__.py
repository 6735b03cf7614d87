"""`python -m unocclude.server`: the backend on its own, as the client starts it (launch.py)."""

from __future__ import annotations

import argparse
import sys

from unocclude.errors import UnoccludeError
from unocclude.server.commands import DEFAULT_ENDPOINT, DEFAULT_RUNNER, DEFAULT_SEGMENTER, serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m unocclude.server")
    parser.add_argument("--endpoint", default=DEFAULT_ENDPOINT, help="where to listen")
    parser.add_argument("--runner", default=DEFAULT_RUNNER, help="module:function that runs a job")
    parser.add_argument("--segmenter", default=DEFAULT_SEGMENTER, help="module:function that answers clicks")
    parser.add_argument("--devices", nargs="+", default=(), help="a worker for each: auto, cpu or cuda:NUMBER")
    arguments = parser.parse_args()
    try:
        serve(
            arguments.endpoint,
            runner=arguments.runner,
            segmenter=arguments.segmenter,
            devices=arguments.devices,
        )
    except UnoccludeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
