"""Hears a CAN bus and reads every frame by the vehicle's DBC file, with python-can and cantools and nothing of Twinhelm.

Usage: witness.py INTERFACE DBC OUT [REPEAT]. Waits until the interface is up, hears until it is silent for two seconds or gone,
and writes what it heard to OUT as JSON. With REPEAT (seconds) it sends left's newest command as its own, up to three times,
so long after it first heard one: a second device with left's number. OUT.ready says that it waits, and OUT.hears that it hears.
"""

import collections
import json
import pathlib
import sys
import time

import can
import cantools


def crc8(data):
    """SAE J1850: polynomial 0x1D, start 0xFF, result inverted."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1D) & 0xFF if crc & 0x80 else (crc << 1) & 0xFF
    return crc ^ 0xFF


IFF_UP = 1


def is_up(interface):
    try:
        return int(pathlib.Path("/sys/class/net", interface, "flags").read_text(), 16) & IFF_UP
    except OSError:
        return False


def opened(interface, ready):
    """Returns the bus. One that is there but down can be opened, too, and reading it fails as if the run had ended."""
    until = time.monotonic() + 60
    while not is_up(interface):
        ready.touch()
        if time.monotonic() > until:
            sys.exit(f"{interface} does not come up")
        time.sleep(0.05)
    return can.Bus(interface="socketcan", channel=interface)


def heard(bus, first):
    """Returns the next frame, or None behind the last: the bus is silent, or its interface went with the run."""
    try:
        return bus.recv(timeout=60 if first is None else 2)
    except can.CanOperationError:
        return None


def main():
    interface, dbc, out = sys.argv[1:4]
    repeat_after = float(sys.argv[4]) if len(sys.argv) > 4 else None
    database = cantools.database.load_file(dbc)
    counts, unknown, wrong, signals = collections.Counter(), [], [], collections.Counter()
    first = holder = None
    repeated = 0
    with opened(interface, pathlib.Path(out + ".ready")) as bus:
        pathlib.Path(out + ".hears").touch()
        while message := heard(bus, first):
            try:
                frame = database.get_message_by_frame_id(message.arbitration_id)
                decoded = frame.decode(message.data)
            except (KeyError, cantools.database.DecodeError) as cause:
                unknown.append(f"{message.arbitration_id:03X}#{message.data.hex()}: {cause}")
                continue
            counts[frame.name] += 1
            signals.update(decoded.keys())
            # docs/protocol.md: over the identifier, low byte first, and the bytes behind the check sum.
            covered = message.arbitration_id.to_bytes(2, "little") + bytes(message.data[1:])
            if crc8(covered) != decoded["Crc"]:
                wrong.append(f"{message.arbitration_id:03X}#{message.data.hex()}")
            if frame.name == "COMMAND_0" and not decoded["Probe"]:
                holder, first = message, first or time.monotonic()
                if repeat_after is not None and repeated < 3 and time.monotonic() - first > repeat_after:
                    bus.send(can.Message(arbitration_id=holder.arbitration_id, data=holder.data, is_extended_id=False))
                    repeated += 1
    with open(out, "w") as file:
        json.dump(
            {"counts": counts, "unknown": unknown, "wrong_crc": wrong, "signals": signals, "repeated": repeated}, file
        )


main()
