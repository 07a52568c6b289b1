#!/usr/bin/env python3
"""Measures culprit over captures that mean to exhaust it.

    hostile.py HOSTILE PACKETS [ATTACK ...]             a table
    hostile.py --check HOSTILE PACKETS [ATTACK ...]     only what is beyond a bound

For each attack: processor time a packet of all stages together, as a multiple
of that of ordinary traffic (two packets of a request and its answer, many
connections: generate http); how that grows when the capture is four times as
long; and the largest resident memory of each stage at that length. Needs the
programs in PATH; HOSTILE is the program of that name, and generate lies beside
it.
"""
import os
import subprocess
import sys
import tempfile

STAGES = [["flowify", "--no-compress"], ["analyze", "--no-compress", "--no-segments"], ["classify", "--no-compress"], ["report"]]
# What is promised (DESIGN, numbers to reach): 64 MiB and 600 bytes an open connection.
FIXED_KIB, CONNECTION_BYTES = 64 << 10, 600
TIMES_ORDINARY, TIMES_LONGER = 3, 1.6


def measure(capture, folder):
    """Processor seconds of all stages, and the peak KiB of each."""
    seconds, peaks, path = 0.0, [], capture
    for number, stage in enumerate(STAGES):
        out = os.path.join(folder, str(number))
        with open(out, "wb") as file:
            child = subprocess.Popen(stage + ["-q", path], stdout=file, stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(child.pid, 0)
        if os.waitstatus_to_exitcode(status) != 0:
            sys.exit(f"{stage[0]}: exit status {os.waitstatus_to_exitcode(status)}")
        seconds += usage.ru_utime + usage.ru_stime
        peaks.append(usage.ru_maxrss)
        path = out
    return seconds, peaks


def make(command, folder):
    path = os.path.join(folder, "capture")
    with open(path, "wb") as file:
        subprocess.run(command, stdout=file, check=True)
    return path


def main():
    arguments = sys.argv[1:]
    check = arguments[0] == "--check"
    hostile, n, *names = arguments[check:]
    n = int(n)
    names = names or subprocess.run([hostile, "list"], capture_output=True, text=True, check=True).stdout.split()
    with tempfile.TemporaryDirectory() as folder:
        generate = os.path.join(os.path.dirname(hostile), "generate")
        ordinary = {}
        for length in (n, 4 * n):
            capture = make([generate, "http", str(length)], folder)
            ordinary[length] = min(measure(capture, folder)[0] for _ in range(2)) / length
        if not check:
            print(f"ordinary: {1e9 * ordinary[4 * n]:.0f} ns a packet")
            print(f"{'attack':18} {'x ordinary':>10} {'x longer':>9}   MiB of flowify, analyze, classify, report")
        for name in names:
            seconds, peaks = {}, []
            for length in (n, 4 * n):
                capture = make([hostile, name, str(length)], folder)
                runs = [measure(capture, folder) for _ in range(1 if check else 2)]
                seconds[length], peaks = min(runs)
            times = seconds[4 * n] / (4 * n) / ordinary[4 * n]
            longer = seconds[4 * n] / 4 / seconds[n]
            cap_kib = FIXED_KIB + 4 * n * CONNECTION_BYTES / 1024
            if not check:
                print(f"{name:18} {times:10.1f} {longer:9.2f}   {' '.join(f'{peak / 1024:.0f}' for peak in peaks)}", flush=True)
            elif times > 3 * TIMES_ORDINARY and longer > TIMES_LONGER:
                print(f"{name}: {times:.1f} times the time of ordinary traffic, {longer:.1f} times when four times as long")
            elif max(peaks) > cap_kib:
                print(f"{name}: {peaks} KiB: more than {cap_kib:.0f}")


main()
