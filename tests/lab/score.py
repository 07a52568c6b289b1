#!/usr/bin/env python3
"""Scores culprit against the lab's truth.

score.py CULPRIT DIR [--wrong] [--markdown]

A verdict is right when party and cause are those that were caused (or defensible ones that the truth lists); for "none",
when nothing slow is blamed on anybody. Prints scenario x vantage point, the ledger's errors against the logs, and how
often each confidence was right. Exits 1 when a ledger does not sum or a program failed.
"""
import collections
import glob
import json
import os
import statistics
import subprocess
import sys

VANTAGES = ("client", "middle", "server")


def judge(culprit, capture, truth):
    slow_ms = truth["slow_ms"] or 1
    done = subprocess.run([culprit, "run", "-q", "--format", "json", "--slow", f"{slow_ms}ms", capture],
                          capture_output=True, text=True, check=False)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return [r for r in records if r["record"] in ("verdict", "finding")], done


def expected(truth, verdicts):
    """The verdict on the transaction that the truth is about: of its kind, the slowest, or the one that was targeted."""
    want = truth["transactions"][0]
    kinds = {want["kind"], "tls-handshake"} if want["kind"] == "tls-handshake" else {want["kind"]}
    same = [v for v in verdicts if v["kind"] in kinds]
    if not same:
        return None
    if "start_ns" in want and "total_ms" in want:
        return max(same, key=lambda v: v["total_ns"])
    return max(same, key=lambda v: v["total_ns"])


def score(truth, records):
    want = truth["transactions"][0]
    verdicts = [r for r in records if r["record"] == "verdict"]
    if truth.get("refused"):
        # A refusal is quick: it is an outcome, and blamed when it was slow or came often.
        found = [v for v in verdicts if v["kind"] == "connect" and v["outcome"] == "refused"]
        right = bool(found) and all(v["blame"] in ("none", want["party"]) for v in found)
        return right, next((v for v in found if v["slow"]), None)
    if want["party"] == "none":
        blamed = [v for v in verdicts if v["slow"] and v["blame"] not in ("none", "unknown")]
        return not blamed, blamed[0] if blamed else None
    verdict = expected(truth, verdicts)
    if verdict is None or not verdict["slow"]:
        return False, verdict
    right = verdict["cause"] == want["cause"] and verdict["blame"] == want["party"]
    return right or verdict["cause"] in want["acceptable"], verdict


def main():
    culprit, folder = sys.argv[1], sys.argv[2]
    show_wrong = "--wrong" in sys.argv
    bar = "|" if "--markdown" in sys.argv else " "
    table = collections.defaultdict(lambda: [0, 0, 0])
    confidence = collections.defaultdict(lambda: [0, 0])
    errors = collections.defaultdict(list)
    bad = 0
    for path in sorted(glob.glob(os.path.join(folder, "*.truth.json"))):
        capture = path.replace(".truth.json", ".pcap")
        with open(path, encoding="utf-8") as file:
            truth = json.load(file)
        verdicts, done = judge(culprit, capture, truth)
        if done.returncode not in (0, 3):
            bad += 1
            print(f"{capture}: exit {done.returncode}: {done.stderr.strip()}", file=sys.stderr)
        for v in (r for r in verdicts if r["record"] == "verdict"):
            if sum(v["ledger"].values()) != v["total_ns"]:
                bad += 1
                print(f"{capture}: the ledger of transaction {v['transaction']} does not sum", file=sys.stderr)
        right, verdict = score(truth, verdicts)
        entry = table[truth["scenario"], truth["vantage"]]
        if not truth["knowable"]:
            # It cannot be seen from here: nothing may be blamed with confidence on somebody innocent.
            wrong = verdict is not None and verdict["slow"] and not right and verdict["confidence"] == "high"
            entry[2] += 1
            if wrong and show_wrong:
                print(f"{capture}: unknowable, yet {verdict['cause']} with high confidence: {verdict['ledger']}")
            continue
        entry[0] += right
        entry[1] += 1
        if verdict is not None and verdict["blame"] != "none":
            confidence[verdict["confidence"]][0] += right
            confidence[verdict["confidence"]][1] += 1
        if show_wrong and not right:
            want = truth["transactions"][0]
            ms = {k: round(v / 1e6, 1) for k, v in verdict["ledger"].items()} if verdict else None
            got = (verdict["blame"], verdict["cause"], verdict["confidence"], verdict["kind"]) if verdict else None
            print(f"{capture}: want {want['cause']} {want['ledger_ms']}, got {got} {ms}")
        if verdict is not None and truth["transactions"][0]["party"] != "none":
            for cause, ms in truth["transactions"][0]["ledger_ms"].items():
                errors[cause].append((abs(verdict["ledger"].get(cause, 0) / 1e6 - ms), ms, truth["rtt_ms"], capture))

    names = sorted({name for name, _ in table})
    print(f"{bar}{'scenario':26}{bar}" + bar.join(f"{v:>9}" for v in VANTAGES) + bar)
    if bar == "|":
        print("|---|" + "---:|" * len(VANTAGES))
    total = [0, 0, 0]
    for name in names:
        cells = []
        for vantage in VANTAGES:
            right, n, hidden = table[name, vantage]
            total = [total[0] + right, total[1] + n, total[2] + hidden]
            cells.append(f"{right}/{n}" + ("*" if hidden else "") if n or hidden else "-")
        print(f"{bar}{name:26}{bar}" + bar.join(f"{c:>9}" for c in cells) + bar)
    print(f"\nverdicts right: {total[0]} of {total[1]} ({100 * total[0] / max(1, total[1]):.1f} %); "
          f"{total[2]} more (*) cannot be known from their vantage point")
    for level in ("high", "medium", "low"):
        right, n = confidence[level]
        if n:
            print(f"confidence {level:6}: right {right} of {n} ({100 * right / n:.1f} %)")
    for cause, found in sorted(errors.items()):
        limit = [(e, max(rtt, 0.1 * ms) if cause.startswith("network") else max(5, 0.02 * ms)) for e, ms, rtt, _ in found]
        inside = sum(e <= most for e, most in limit)
        worst = max(found)
        print(f"{cause:20} error median {statistics.median(e for e, *_ in found):7.2f} ms, worst {worst[0]:8.2f} ms "
              f"({os.path.basename(worst[3])}); within its limit {inside} of {len(found)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
