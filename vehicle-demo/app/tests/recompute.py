"""Recomputes a report's figures from a recording, by the definitions of docs/glossary.md and nothing of Twinhelm.

Usage: recompute.py RECORDING. The recording is read with Foxglove's `mcap` package, its ROS 2 messages with
`mcap-ros2-support`. Prints each figure with both values; exit code 1 when one differs.
"""

import json
import math
import sys

from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

NS_PER_MS = 1e6


def read(path):
    """Returns the events as (time in ns, name, fields), the run, its zero, the report, and the ROS messages by topic."""
    events, ros, run, zero, report, end = [], {}, None, None, None, None
    with open(path, "rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        for _, channel, message in reader.iter_messages(log_time_order=False):
            if channel.message_encoding == "json":
                line = json.loads(message.data)
                if channel.topic == "/run":
                    run = line["run"]
                elif channel.topic == "/run/begins":
                    zero = line["zero_ns"]
                elif channel.topic == "/report":
                    report, end = line, message.log_time - run["epoch_ns"]
                elif "event" in line:
                    (name, fields), = line["event"].items()
                    events.append((message.log_time - run["epoch_ns"], name, fields))
        file.seek(0)
        for decoded in reader.iter_decoded_messages(topics=["/odom", "/drive", "/imu", "/battery", "/diagnostics"]):
            if decoded.message.log_time - run["epoch_ns"] <= end:
                ros.setdefault(decoded.channel.topic, []).append(decoded.decoded_message)
    events.sort(key=lambda event: event[0])
    # What was collected behind the run's end is no part of its report; the watchers' stalls are added later.
    def counts(at, name, fields):
        return at <= end or (name == "Stalled" and fields["what"] == "Machine")

    events = [event for event in events if counts(*event)]
    return events, run, zero, report, end, ros


def span_ns(span):
    return span["secs"] * 1_000_000_000 + span["nanos"]


def nearest_rank(values, part):
    values = sorted(values)
    # A quantile is given from 5 samples beyond it on.
    if len(values) * (1 - part) < 5 - 1e-6:
        return None
    return values[math.ceil(len(values) * part) - 1]


def output_gaps(acted, end, period):
    """Returns the gaps in ms, the one to the end included, and the missed deadlines."""
    times = [at for at, _ in acted] + [max(end, acted[-1][0])]
    gaps = [after - before for before, after in zip(times, times[1:])]
    missed = sum(max(0, -(-gap // period) - 2) for gap in gaps)
    return [gap / NS_PER_MS for gap in gaps], missed


def handovers(events, acted, zero, timeout, lease):
    """Returns cause, from, to, gap, detection and reaction of each change of holder that something explains."""
    names, found, holder = ["left", "right"], [], None
    for at, fields in acted:
        to = fields["adopted"] % 4
        if holder not in (None, to):
            found.append((at, holder, to))
        holder = to
    rows = []
    for changed, loser, winner in found:
        at_work = []
        for at, name, fields in events:
            if at > changed:
                break
            if name == "Fault":
                at_work.append((at, fields["label"], fields["slot"], fields["request"]))
            elif name == "FaultEnded" and at + timeout + lease < changed:
                at_work = [one for one in at_work if one[1] != fields["label"]]
        at_work = [one for one in at_work if not one[3] or one[0] + timeout + lease >= changed]
        of_loser = [one for one in at_work if one[2] == loser] or at_work
        if not of_loser:
            continue
        fault, label = of_loser[-1][:2]
        first = next(at for at, fields in acted if at > fault and fields["slot"] == winner)
        decided = next(
            (at for at, name, fields in events
             if name == "Offered" and fields["slot"] == winner and not fields["probe"] and fault <= at <= first),
            first,
        )
        gaps = [
            after - before
            for (before, _), (after, _) in zip(acted, acted[1:])
            if after > fault and before < first + timeout
        ]
        rows.append({
            "cause": label,
            "from": names[loser],
            "to": names[winner],
            "fault_t_s": (fault - zero) / 1e9,
            "fdti_ms": (decided - fault) / NS_PER_MS,
            "frti_ms": (first - decided) / NS_PER_MS,
            "fhti_ms": (first - fault) / NS_PER_MS,
            "handover_gap_ms": max(gaps) / NS_PER_MS,
        })
    return rows


def recompute(path):
    events, run, zero, report, end, ros = read(path)
    timing = run["parameters"]
    period, timeout, lease = (span_ns(timing[key]) for key in ("period", "command_timeout", "gate_lease"))
    acted = [(at, fields) for at, name, fields in events if name == "Acted" and fields["gate"] == 0]
    truth = [fields for _, name, fields in events if name == "Truth"]
    how = [fields["how"] for _, fields in acted]
    gaps, missed = output_gaps(acted, end, period)
    dropped = {}
    for _, name, fields in events:
        if name == "Dropped":
            dropped[fields["why"]] = dropped.get(fields["why"], 0) + 1
    stale, adopted = 0, None
    for _, fields in acted:
        age = fields["age"]
        superseded = adopted is not None and fields["term"] < adopted
        stale += superseded or (age is not None and span_ns(age) > timeout)
        adopted = fields["adopted"]
    ours = {
        "cycles": (end - acted[0][0]) // period,
        "missed_deadlines": missed,
        "covers": how.count("Cover"),
        "takeovers": how.count("Takeover"),
        "stale_accepted": stale,
        "wrong_command_cycles": sum(name == "Wrong" for _, name, _ in events),
        "output_gap_ms": {
            "samples": len(gaps),
            "p50": nearest_rank(gaps, 0.5),
            "p99": nearest_rank(gaps, 0.99),
            "p999": nearest_rank(gaps, 0.999),
            "max": max(gaps),
        },
        "cross_track_error_max_m": max(abs(fields["cross_track_m"]) for fields in truth),
        "dropped": sum(dropped.values()),
        "handovers": handovers(events, acted, zero, timeout, lease),
        "course_completed": max(fields["travelled_m"] for fields in truth) >= run["course_length_m"],
    }
    theirs = {name: report[name] for name in ours}
    theirs["dropped"] = sum(report["dropped"].values())
    theirs["handovers"] = [{name: one[name] for name in row} for one, row in zip(report["handovers"], ours["handovers"])]
    ours["handovers of the report"] = theirs["handovers of the report"] = len(report["handovers"])
    ours["handovers of the report"] = len(ours["handovers"])
    # The field's own messages say the same as the events.
    ours["messages on /drive"], theirs["messages on /drive"] = len(ros["/drive"]), len(
        [1 for _, name, fields in events if name == "Acted" and fields["gate"] == 0]
    )
    last = truth[-1]
    odom = ros["/odom"][len(truth) - 1]
    ours["last pose on /odom"] = [odom.pose.pose.position.x, odom.pose.pose.position.y, odom.twist.twist.linear.x]
    theirs["last pose on /odom"] = [last["x_m"], last["y_m"], last["speed_mps"]]
    imu = ros["/imu"][len(truth) - 1]
    ours["last yaw rate on /imu"] = imu.angular_velocity.z
    theirs["last yaw rate on /imu"] = last["motion"]["yaw_rate_radps"]
    battery = ros["/battery"][0]
    ours["first voltage on /battery"] = battery.voltage
    theirs["first voltage on /battery"] = truth[0]["battery"]["voltage_v"]
    assert battery.current < 0 and battery.present, "a battery that gives has a negative current"
    levels = {ord(s.level) if isinstance(s.level, bytes) else s.level for m in ros["/diagnostics"] for s in m.status}
    assert levels <= {0, 1, 2, 3}, levels
    return ours, theirs


def same(ours, theirs):
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(same(*pair) for pair in zip(ours, theirs))
    if isinstance(ours, float):
        # The voltage comes as 32 bits, and a span in ms is rounded differently here.
        return theirs is not None and math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-6)
    return ours == theirs


def main():
    ours, theirs = recompute(sys.argv[1])
    differ = [name for name in ours if not same(ours[name], theirs[name])]
    for name in ours:
        mark = "DIFFERS" if name in differ else "same"
        print(f"{mark:8} {name}: {json.dumps(ours[name])} / {json.dumps(theirs[name])}")
    sys.exit(1 if differ else 0)


main()
