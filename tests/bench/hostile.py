#!/usr/bin/env python3
"""Measures culprit over captures that mean to exhaust it.

    hostile.py HOSTILE PACKETS [ATTACK ...]             a table
    hostile.py --check HOSTILE PACKETS [ATTACK ...]     only what is beyond a bound

For each attack: processor time of all stages together, as a multiple of that
of ordinary traffic (generate http: requests of two packets and their answers,
on many connections), for a packet; for a transaction and a connection, too,
where the attack is made of these, and then of short connections (generate
short: twelve packets each). How the time grows when the capture is four times
as long; and the largest resident memory of each stage at that length. Needs the
programs in PATH; HOSTILE is the program of that name, and generate lies beside
it.
"""
import os
import re
import subprocess
import sys
import tempfile

STAGES = [["flowify", "--no-compress"], ["analyze", "--no-compress", "--no-segments"], ["classify", "--no-compress"], ["report"]]
# What is promised (DESIGN, numbers to reach; --max-memory in culprit-analyze(1)): 64 MiB and 600 bytes an open
# connection; analyze beside it 512 bytes a segment and 12 of each that waits, of up to 512 MiB each.
FIXED_KIB, CONNECTION_BYTES, SEGMENT_BYTES, WAITING_BYTES, HALF_KIB = 64 << 10, 600, 512, 12, 512 << 10
TIMES_ORDINARY, TIMES_LONGER = 3, 1.6
MOSTLY = 4  # packets to a connection or transaction, where these are what an attack is made of


class Run:
    """Processor seconds of all stages, the peak KiB of each, and what report counted."""

    def __init__(self, capture, folder, n_packets):
        self.seconds, self.peaks, self.n_packets, path = 0.0, [], n_packets, capture
        for number, stage in enumerate(STAGES):
            out = os.path.join(folder, str(number))
            with open(out, "wb") as file:
                child = subprocess.Popen(stage + ["-q", path], stdout=file, stderr=subprocess.DEVNULL)
                _, status, usage = os.wait4(child.pid, 0)
            if os.waitstatus_to_exitcode(status) != 0:
                sys.exit(f"{stage[0]}: exit status {os.waitstatus_to_exitcode(status)}")
            self.seconds += usage.ru_utime + usage.ru_stime
            self.peaks.append(usage.ru_maxrss)
            path = out
        with open(path) as file:
            report = file.read()
        self.n_connections, self.n_transactions = (
            int((re.search(rf"^ {what} +([0-9,]+)", report, re.M) or ["", "0"])[1].replace(",", "")) for what in ("connections", "transactions"))

    def bound_kib(self, stage):
        bound = FIXED_KIB + self.n_connections * CONNECTION_BYTES / 1024
        if stage == "analyze":
            bound += sum(min(HALF_KIB, self.n_packets * each / 1024) for each in (SEGMENT_BYTES, WAITING_BYTES))
        return bound


def best(capture, folder, n_packets, times):
    return min((Run(capture, folder, n_packets) for _ in range(times)), key=lambda run: run.seconds)


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
        ordinary = {length: best(make([generate, "http", str(length)], folder), folder, length, 2) for length in (n, 4 * n)}
        base = ordinary[4 * n].seconds / (4 * n)
        if not check:
            short = best(make([generate, "short", str(4 * n)], folder), folder, 4 * n, 2)
            by_connection = short.seconds / short.n_connections
            by_transaction = ordinary[4 * n].seconds / ordinary[4 * n].n_transactions
            print(f"ordinary: {1e9 * base:.0f} ns a packet, {1e9 * by_transaction:.0f} a transaction; short connections: {1e9 * by_connection:.0f} ns each")
            print(f"{'attack':18} {'x ordinary':>10} {'transaction':>12} {'connection':>11} {'x longer':>9}   MiB of flowify, analyze, classify, report")
        for name in names:
            runs = {length: best(make([hostile, name, str(length)], folder), folder, length, 1 if check else 2) for length in (n, 4 * n)}
            long = runs[4 * n]
            times = long.seconds / (4 * n) / base
            longer = long.seconds / 4 / runs[n].seconds
            above = [f"{stage[0]}: {peak} KiB" for stage, peak in zip(STAGES, long.peaks) if peak > long.bound_kib(stage[0])]
            if not check:
                made_of = [f"{long.seconds / of / each:.1f}" if of * MOSTLY > long.n_packets else "" for of, each in
                           ((long.n_transactions, by_transaction), (long.n_connections, by_connection))]
                print(f"{name:18} {times:10.1f} {made_of[0]:>12} {made_of[1]:>11} {longer:9.2f}   {' '.join(f'{peak / 1024:.0f}' for peak in long.peaks)}", flush=True)
            elif times > 3 * TIMES_ORDINARY and longer > TIMES_LONGER:
                print(f"{name}: {times:.1f} times the time of ordinary traffic, {longer:.1f} times when four times as long")
            for text in above:
                print(f"{name}: {text}, more than is promised")


main()
