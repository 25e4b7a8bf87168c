"""The sandbox's server: moto's AWS API over the seeded estate, in a process of its own.

``python -m finops_policy.sandbox.server --state FILE [--parent PID]`` seeds the estate, binds a free port of 127.0.0.1
and then writes FILE, which says that it is ready and where. With ``--parent`` it ends when that process is no longer
its parent: an ephemeral sandbox must not outlive the command that started it, not even after ``kill -9``. A pipe would
not do, as the command's forked workers hold the other end too.

``GET /finops-policy/sandbox`` says who is there, so that a stale state file is not taken for a running sandbox.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finops_policy import __version__
from finops_policy.files import write_atomic
from finops_policy.sandbox.egress import forbid_egress
from finops_policy.sandbox.estate import digest, load_estate

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

IDENTITY_PATH = "/finops-policy/sandbox"
PARENT_CHECK_SECONDS = 0.5


def main(argv: list[str] | None = None) -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m finops_policy.sandbox.server")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--parent", type=int)
    options = parser.parse_args(argv)
    if options.parent is not None:
        threading.Thread(target=_end_with, args=(options.parent,), daemon=True).start()
    forbid_egress()
    _serve(options.state)


def _serve(state: Path) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    from finops_policy.sandbox.gaps import fill_gaps
    from finops_policy.sandbox.seed import seed

    class Handler(MotoRequestHandler):
        disable_nagle_algorithm = True  # headers and body are written apart; Nagle would wait 40 ms between them

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Requests are nobody's news."""

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    fill_gaps()
    now = dt.datetime.now(dt.UTC)
    seed(load_estate(), now)
    identity = {"pid": os.getpid(), "seeded_at": now.isoformat(), "estate": digest(), "version": __version__}
    application = _with_identity(DomainDispatcherApplication(create_backend_app), identity)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
    identity["url"] = f"http://127.0.0.1:{server.server_port}"
    write_atomic(state, json.dumps(identity, indent=2).encode())
    server.serve_forever()


def _with_identity(application: WSGIApplication, identity: dict[str, Any]) -> WSGIApplication:
    def dispatch(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != IDENTITY_PATH:
            return application(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(identity).encode()]

    return dispatch


def _end_with(parent: int) -> None:
    tick = threading.Event()
    while os.getppid() == parent:
        tick.wait(PARENT_CHECK_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
