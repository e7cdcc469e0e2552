"""Lines of the log: together, in order, each once, and none left when the process ends."""

import asyncio
import io
import json
import subprocess
import sys
import threading

from app.cli.logging import _Lines


class Written(io.BytesIO):
    """Counts how often something was written."""

    def __init__(self):
        super().__init__()
        self.writes = 0

    def write(self, data):
        self.writes += 1
        return super().write(data)


def test_lines_are_written_together_a_moment_later():
    """In order, and in one write."""
    file = Written()
    lines = _Lines(file)

    async def tell():
        for number in range(50):
            lines.info(b"%d" % number)
        assert not file.getvalue()
        await asyncio.sleep(0.3)

    asyncio.run(tell())
    assert file.getvalue().split() == [b"%d" % number for number in range(50)]
    assert file.writes == 1


def test_a_warning_is_written_at_once_with_all_before_it():
    """What goes wrong is in the log when it does, and after what led to it."""
    file = Written()
    lines = _Lines(file)

    async def tell():
        lines.info(b"before")
        lines.warning(b"warning")
        assert file.getvalue() == b"before\nwarning\n"
        lines.info(b"after")
        await asyncio.sleep(0.3)

    asyncio.run(tell())
    assert file.getvalue() == b"before\nwarning\nafter\n"


def test_threads_lose_no_line():
    """Whoever writes beside the loop, each line is there once."""
    file = Written()
    lines = _Lines(file)

    async def tell():
        def some(name):
            for number in range(500):
                lines.info(b"%s-%d" % (name, number))

        threads = [threading.Thread(target=some, args=(b"%d" % one,)) for one in range(4)]
        for one in threads:
            one.start()
        some(b"loop")
        await asyncio.sleep(0.3)
        for one in threads:
            one.join()

    asyncio.run(tell())
    lines.flush()
    found = file.getvalue().split()
    assert len(found) == len({*found}) == 2500


TELLING = """
import asyncio, structlog
from app.cli import logging
logging.set_up()
async def tell():
    for number in range(3):
        structlog.get_logger().info("told", number=number)
asyncio.run(tell())
"""


def test_what_is_kept_is_written_when_the_process_ends():
    """An end in order loses nothing."""
    done = subprocess.run(
        [sys.executable, "-c", TELLING], capture_output=True, check=True, timeout=60
    )
    assert [json.loads(line)["number"] for line in done.stderr.splitlines()] == [0, 1, 2]
