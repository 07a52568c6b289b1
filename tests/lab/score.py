#!/usr/bin/env python3
"""Holds culprit's verdicts against the lab's truth.

A verdict is right when party and cause are those that the logs say, or others that the truth calls defensible; where
nobody is to blame, when nobody is blamed. Where a vantage point cannot know, silence and low confidence are right too.
A slow verdict with blame that belongs to no transaction of the truth is wrong. Exit status 1: a ledger does not sum, or
culprit failed.
"""
import argparse
import concurrent.futures
import datetime
import glob
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict

VANTAGES = ("client", "middle", "server")
LEVELS = ("high", "medium", "low")
NS_PER_MS = 1_000_000
TIMEOUT_S = 120
# A verdict belongs to a transaction that began this near, in the client's time.
SAME_START_NS = 500 * NS_PER_MS


def limit_ms(cause, truth_ms, rtt_ms):
    """The largest error of an entry that is still right: the pauses' and think times', and the network's."""
    if cause.startswith("network"):
        return max(rtt_ms, 0.1 * truth_ms)
    return max(5, 0.02 * truth_ms)


def nanoseconds(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc).timestamp()
    return int(seconds) * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def is_blamed(verdict):
    return verdict is not None and verdict["slow"] and verdict["blame"] not in ("none", "unknown")


def is_right(wanted, verdict):
    defensible = wanted.get("acceptable", [])
    if not wanted["knowable"] and (not is_blamed(verdict) or verdict["confidence"] == "low"):
        return True
    if verdict is None and wanted.get("optional"):
        return True
    if verdict is not None and verdict["slow"] and verdict["cause"] in defensible:
        return True
    if wanted["party"] == "none" or "none" in defensible and not is_blamed(verdict):
        return not is_blamed(verdict)
    return is_blamed(verdict) and (verdict["blame"], verdict["cause"]) == (wanted["party"], wanted["cause"])


def pair(wanted, verdicts):
    """Takes the verdict of a transaction out of the list: same connection and kind, nearest start."""
    def distance(verdict):
        return abs(nanoseconds(verdict["start"]) - (wanted["start_ns"] or 0))
    same = [v for v in verdicts if v["kind"] == wanted["kind"] and v["client_port"] == wanted["client_port"]]
    same = [v for v in same if distance(v) < SAME_START_NS + (wanted["total_ms"] or 0) * NS_PER_MS]
    if not same:
        return None
    found = min(same, key=distance)
    verdicts.remove(found)
    return found


class Result:
    """One capture."""

    def __init__(self, culprit, truth_path):
        with open(truth_path, encoding="utf-8") as file:
            self.truth = json.load(file)
        self.capture = os.path.join(os.path.dirname(truth_path), self.truth["capture"])
        self.problems = []
        command = [culprit, "run", "--format", "json", "--slow", f"{self.truth['slow_ms']}ms", self.capture]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode != 0:
            self.problems.append(f"exit {done.returncode}: {done.stderr.strip()}")
        records = [json.loads(line) for line in done.stdout.splitlines()]
        verdicts = [r for r in records if r["record"] == "verdict"]
        for verdict in verdicts:
            if sum(verdict["ledger"].values()) != verdict["total_ns"]:
                self.problems.append(f"stream {verdict['stream']} transaction {verdict['transaction']}: the ledger sums to "
                                     f"{sum(verdict['ledger'].values())}, not {verdict['total_ns']}")
        self.pairs = [(wanted, pair(wanted, verdicts)) for wanted in self.truth["transactions"]]
        self.rights = [is_right(wanted, verdict) for wanted, verdict in self.pairs]
        self.strays = [v for v in verdicts if is_blamed(v) and v["cause"] != "network.rtt"]

    def is_right(self):
        return all(self.rights) and not self.strays

    def explain(self):
        def told(verdict):
            if verdict is None:
                return "no verdict"
            ledger = {c: round(ns / NS_PER_MS, 1) for c, ns in verdict["ledger"].items()}
            return f"{'slow' if verdict['slow'] else 'fast'} {verdict['blame']} {verdict['cause']} {verdict['confidence']} {ledger}"
        for (wanted, verdict), right in zip(self.pairs, self.rights):
            if not right:
                print(f"{self.truth['capture']}: {wanted['kind']} {wanted['index']}: {wanted['cause']} {wanted['ledger_ms']}"
                      f" of {wanted['total_ms']} ms\n    got {told(verdict)}")
        for verdict in self.strays:
            print(f"{self.truth['capture']}: stray {verdict['kind']} at {verdict['start']}: {told(verdict)}")


def print_table(results, markdown):
    cells = defaultdict(lambda: [0, 0])
    for result in results:
        cell = cells[result.truth["scenario"], result.truth["vantage"]]
        cell[0] += result.is_right()
        cell[1] += 1
    bar = " | " if markdown else "  "
    edge = "| " if markdown else ""
    print(f"{edge}{'captures right':28}{bar}" + bar.join(f"{v:>7}" for v in VANTAGES) + (" |" if markdown else ""))
    if markdown:
        print("|---|" + "---:|" * len(VANTAGES))
    for name in sorted({name for name, _ in cells}):
        row = ["{}/{}".format(*cells[name, v]) if cells[name, v][1] else "" for v in VANTAGES]
        print(f"{edge}{name:28}{bar}" + bar.join(f"{text:>7}" for text in row) + (" |" if markdown else ""))


def percent(right, n):
    return f"{right} of {n} ({100 * right / n:.1f} %)" if n else "none"


def print_summary(results):
    judged = [(w, v, right) for r in results for (w, v), right in zip(r.pairs, r.rights)]
    to_blame = [right for w, _, right in judged if w["party"] != "none" and w["knowable"]]
    print(f"\ncaptures right       {percent(sum(r.is_right() for r in results), len(results))}")
    print(f"transactions right   {percent(sum(right for *_, right in judged), len(judged))}")
    print(f"  with a culprit     {percent(sum(to_blame), len(to_blame))}")
    print(f"stray blame          {sum(len(r.strays) for r in results)}")
    for level in LEVELS:
        own = [right for _, v, right in judged if is_blamed(v) and v["confidence"] == level]
        print(f"confidence {level:9} right {percent(sum(own), len(own))}")


def print_errors(results):
    errors = defaultdict(list)
    for result in results:
        for wanted, verdict in result.pairs:
            if verdict is None or not wanted["knowable"]:
                continue
            for cause, truth_ms in wanted["ledger_ms"].items():
                seen_as = [cause] + wanted.get("looks_like", {}).get(cause, [])
                found_ms = sum(verdict["ledger"].get(c, 0) for c in seen_as) / NS_PER_MS
                least, most = wanted.get("between_ms", {}).get(cause, (truth_ms, truth_ms))
                error = max(least - found_ms, found_ms - most, 0)
                within = error <= limit_ms(cause, truth_ms, result.truth["rtt_ms"])
                errors[cause].append((error, within, result.truth["capture"]))
    print(f"\n{'ledger entry':22}{'n':>6}{'within limit':>14}{'median ms':>11}{'worst ms':>11}  worst in")
    for cause, found in sorted(errors.items()):
        worst = max(found)
        print(f"{cause:22}{len(found):6}{100 * sum(w for _, w, _ in found) / len(found):12.1f} %"
              f"{statistics.median(e for e, *_ in found):11.2f}{worst[0]:11.2f}  {worst[2]}")


def main():
    parser = argparse.ArgumentParser(description="Holds culprit's verdicts against the lab's truth.")
    parser.add_argument("culprit", help="the program")
    parser.add_argument("folder", help="with captures and their truth")
    parser.add_argument("--wrong", action="store_true", help="print what was wrong")
    parser.add_argument("--markdown", action="store_true", help="the table for a README")
    args = parser.parse_args()
    paths = sorted(glob.glob(os.path.join(args.folder, "*.truth.json")))
    if not paths:
        parser.error(f"no truth in {args.folder}")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda path: Result(args.culprit, path), paths))
    if args.wrong:
        for result in results:
            result.explain()
    print_table(results, args.markdown)
    print_summary(results)
    print_errors(results)
    problems = [f"{r.truth['capture']}: {problem}" for r in results for problem in r.problems]
    print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
