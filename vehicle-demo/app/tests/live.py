"""Looks at the live view as a person does: a terminal of 100 × 30, keys, and what the screen shows.

Usage: live.py PROGRAM [ARGUMENT ...]. The terminal is `pyte`. Each wait ends with what it waits for, or fails.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

import pyte

COLUMNS, ROWS = 100, 30
PATIENCE_S = 30


class Terminal:
    def __init__(self, arguments, columns=COLUMNS, rows=ROWS, **environment):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # The size is set before the program looks at it.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.environ.update({"TERM": "xterm-256color", **environment})
            os.execv(arguments[0], arguments)

    def read(self, until):
        """Reads what there is until `until`; returns False at the end of the program's output."""
        ready, _, _ = select.select([self.fd], [], [], max(0, until - time.monotonic()))
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.raw += data
        self.stream.feed(data)
        return bool(data)

    def text(self):
        return "\n".join(self.screen.display)

    def wait_for(self, *words):
        until = time.monotonic() + PATIENCE_S
        while not all(word in self.text() for word in words):
            assert time.monotonic() < until, f"{words} not seen on\n{self.text()}"
            assert self.read(until), f"it ended before {words} on\n{self.text()}"

    def press(self, key):
        os.write(self.fd, key.encode())

    def end(self):
        """Reads to the end, and returns the exit code."""
        until = time.monotonic() + PATIENCE_S
        while self.read(until):
            assert time.monotonic() < until, f"it does not end\n{self.text()}"
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def drive(program):
    """Kills, hangs, cuts, switches over and mends, and sees it."""
    terminal = Terminal([*program, "run", "--rig", "host"])
    terminal.wait_for("left holds the wheel", "protected: the other could take over now", "k kill holder")
    terminal.wait_for("course", "time between commands", "10 ms period", "m/s", "off the course", "until q")
    terminal.press("k")
    terminal.wait_for("right holds the wheel", "NOT protected", "left  down", "wrong now: kill@")
    terminal.press("r")
    terminal.wait_for("right holds the wheel", "protected: the other", "wrong now: nothing")
    terminal.press("h")
    terminal.wait_for("left holds the wheel", "right down", "wrong now: hang@")
    terminal.press("r")
    terminal.wait_for("protected: the other", "wrong now: nothing")
    terminal.press("l")
    terminal.wait_for("left holds the wheel", "NOT protected", "link: no state from the peer")
    terminal.press("r")
    terminal.wait_for("protected: the other")
    terminal.press("s")
    terminal.wait_for("right holds the wheel", "protected: the other")
    terminal.press("q")
    code = terminal.end()
    said = terminal.raw.decode(errors="replace")
    # A machine that stalls may make it invalid; that it failed would be another thing.
    assert "FAIL" not in said and code in (0, 1), said[-3000:]
    assert "Handover report" in said and "kill@" in said.rsplit("Handover report", 1)[1]
    assert "\x1b[?1049l" in said, "the terminal is given back"
    colours = "\x1b[38;5" in said
    assert colours, "a terminal with colours gets them"


def without_colours(program):
    terminal = Terminal([*program, "run", "--rig", "host"], NO_COLOR="1")
    terminal.wait_for("left holds the wheel", "protected: the other could take over now")
    terminal.press("\x03")
    assert terminal.end() in (0, 1)
    for escape in ("\x1b[38;5", "\x1b[48;5", "\x1b[31m", "\x1b[32m", "\x1b[33m"):
        assert escape not in terminal.raw.decode(errors="replace"), f"{escape!r} is a colour"


def too_small(program):
    terminal = Terminal([*program, "run", "--rig", "host", "--duration", "500ms"], columns=70, rows=20)
    assert terminal.end() in (0, 1)
    said = terminal.raw.decode(errors="replace")
    assert "70 columns and 20 rows, the live view needs 80 and 24: plain lines instead" in said, said
    assert "Handover report" in said and "\x1b[?1049h" not in said


def dumb(program):
    terminal = Terminal([*program, "run", "--rig", "host", "--duration", "500ms"], TERM="dumb")
    assert terminal.end() in (0, 1)
    assert "plain lines instead" in terminal.raw.decode(errors="replace")


if __name__ == "__main__":
    for look in (drive, without_colours, too_small, dumb):
        look(sys.argv[1:])
        print(f"{look.__name__}: as it should be")
