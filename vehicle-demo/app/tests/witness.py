"""Hears a CAN bus and reads every frame by the vehicle's DBC file, with python-can and cantools and nothing of Twinhelm.

Usage: witness.py INTERFACE DBC OUT [REPEAT]. Waits for the interface, hears until it is silent for two seconds or gone, and writes
what it heard to OUT as JSON. With REPEAT (seconds) it sends left's newest command as its own, up to three times, so long
after it first heard one: a second device with left's number. OUT.ready says that it listens.
"""

import collections
import json
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


def opened(interface):
    until = time.monotonic() + 60
    while True:
        try:
            return can.Bus(interface="socketcan", channel=interface)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


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
    open(out + ".ready", "w").close()
    with opened(interface) as bus:
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
