"""A service as a process of its own: start it, wait until it answers."""

import os
import socket
import subprocess
import sys
import time
from contextlib import closing

import httpx2
import pytest

WAIT_SECONDS = 90  # a start reads much, and other work may run on the machine


def free_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return taken.getsockname()[1]


def start(folder, *arguments, command="serve", log=None, **environment):
    """A command as a process; its log goes into a pipe, or into a file."""
    line = [sys.executable, "-m", "app.cli", command, *arguments]
    output = subprocess.PIPE if log is None else log.open("a")
    return subprocess.Popen(
        line,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )


def client(**options):
    """For a service on this machine, without TLS: to read the authorities' certificates takes 17 ms."""
    return httpx2.Client(verify=False, **options)


def ready(base):
    until = time.monotonic() + WAIT_SECONDS
    with client() as http:
        while time.monotonic() < until:
            try:
                if http.get(f"{base}/health/ready").status_code == 200:
                    return
            except httpx2.HTTPError:
                time.sleep(0.02)
    pytest.fail("the service does not get ready")
