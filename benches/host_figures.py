"""The handover gap of every fault on the host rig, ten runs each, all shown.

Prints a table in Markdown: what was measured, on which rig and machine. Nothing is asserted.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

FAULTS = ["kill@2s", "hang@2s", "bus-cut@2s", "late@2s", "nan@2s", "frozen@2s", "link-cut@2s"]
RUNS = 10


def run(program, fault, seed, folder):
    """Runs once and returns the report; a run that gave none ends the measurement."""
    path = pathlib.Path(folder) / f"{fault}-{seed}.json"
    done = subprocess.run(
        [program, "run", "--rig", "host", "--duration", "4s", "--seed", str(seed), "--fault", fault, "--json", path],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        sys.exit(f"{fault}, seed {seed}: no report, exit code {done.returncode}\n{done.stderr}")
    report = json.loads(path.read_text())
    if report["broken"]:
        sys.exit(f"{fault}, seed {seed}: {report['broken']}")
    return report


def main():
    """Measures and prints."""
    program = sys.argv[1]
    rows = []
    machine = ""
    with tempfile.TemporaryDirectory() as folder:
        for fault in FAULTS:
            reports = [run(program, fault, seed, folder) for seed in range(1, RUNS + 1)]
            machine = reports[0]["machine"]
            rows.append((fault, reports))
            print(f"{fault} done", file=sys.stderr)
    print(f"rig host, {machine}, {RUNS} runs a fault, period {rows[0][1][0]['period_ms']:g} ms\n")
    print("| fault | handover gap, median | in periods | without disturbed runs | all runs, ms "
          "| missed | covers | takeovers | stall p99 / max, ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for fault, reports in rows:
        gaps = [(h["handover_gap_ms"], h["stalled"]) for r in reports for h in r["handovers"]]
        values = [gap for gap, _ in gaps]
        calm = [gap for gap, stalled in gaps if not stalled]
        # More than a fifth disturbed: the figures of this row mean nothing.
        invalid = "invalid, " if 5 * (len(values) - len(calm)) > len(values) else ""
        period = reports[0]["period_ms"]
        middle = statistics.median(values) if values else None
        show = lambda value, form: "-" if value is None else form.format(value)
        print("| {} | {} | {} | {} | {} | {} | {} | {} | {:.2f} / {:.1f} |".format(
            fault,
            invalid + show(middle, "{:.2f} ms"),
            show(middle and middle / period, "{:.3f}"),
            show(statistics.median(calm) if calm else None, "{:.2f} ms") + f" ({len(calm)})",
            " ".join(f"{value:.1f}" for value in values) or "no handover",
            sum(r["missed_deadlines"] for r in reports),
            sum(r["covers"] for r in reports),
            sum(r["takeovers"] for r in reports),
            statistics.median(r["watcher_stall_ms"]["p99"] for r in reports),
            max(r["watcher_stall_ms"]["max"] for r in reports),
        ))


main()
