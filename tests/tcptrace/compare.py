#!/usr/bin/env python3
"""Compares connections' totals with those of tcptrace.

    compare.py [-v] [CAPTURE ...]

Without operands: samples/ and, where they are, the captures of
../shared/captures. Both programs read each capture, and each direction of each
connection is compared, quantity by quantity. A figure that differs is
explained only when tcptrace's own rule, run over the segments as culprit has
them (model.py), gives tcptrace's figure exactly, and each segment or ACK that
the two count differently falls under a rule that is named and checked; but of
segments in IP fragments, whose parts culprit does not keep, tcptrace has less.

-v lists what is explained, too. Exit status 77 without tcptrace, 1 when
something is left unexplained.
"""

import collections
import datetime
import glob
import ipaddress
import json
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from model import MOD, Tcptrace  # noqa: E402

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(TOP, os.environ.get("BUILD_DIR", "build/release"))

QUANTITIES = [
    "packets", "unique bytes", "retransmitted", "retransmitted bytes", "out of order",
    "RTT samples", "RTT min", "RTT avg", "RTT max", "window max", "window min", "window avg",
]
# tcptrace prints tenths of milliseconds and counts microseconds.
RTT_TOLERANCE_MS = 0.052

REASONS = {
    "hole": "fills a hole in what was captured: out of order for tcptrace; sent again, when the clock says so, for culprit",
    "before": "sent before the capture began, and again in it: new and out of order for tcptrace, sent again for culprit",
    "shown": "fills a hole that only a segment without data showed: sent again for culprit",
    "keep-alive": "a keep-alive's byte was sent before; it is no retransmission",
    "twice": "a frame captured twice; it was sent once",
    "probe": "sent against a closed window: tcptrace leaves it out",
    "overlap": "tcptrace counts the bytes that were seen before, culprit those of the segment",
    "flags": "tcptrace counts a SYN or FIN sent again as a byte",
    "inside": "an ACK ended within a segment: for tcptrace that is then acknowledged, and gives no sample",
    "later": "an earlier range was seen later: no sample for tcptrace",
    "karn": "something was sent again meanwhile: no sample for culprit",
    "timestamp": "a sample that only the timestamps make unambiguous",
    "rst": "a RST's data is not delivered, nor its window meant",
    "none": "tcptrace takes a least round trip of zero for none yet",
    "wrap": "more than 4 GiB: tcptrace takes what wrapped around for what was sent before",
    "zero": "tcptrace leaves closed windows out of the minimum",
    "divisor": "tcptrace divides by packets that advertise no window",
    "shift": "a window scale above 14 counts as 14 (RFC 7323 section 2.3)",
    "fragments": "of a segment in IP fragments tcptrace counts the bytes of the first",
    "scale": "only the SYN-ACK was seen: its scale holds, since it has one only if the SYN had",
}


def address(text):
    """One spelling of each; tcptrace writes ::1 as :0001."""
    if text.startswith(":") and not text.startswith("::"):
        text = ":" + text
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def tcptrace(path):
    """Connections by ends, in order; packets that it saw, took for TCP, and found too short."""
    run = subprocess.run(["tcptrace", "-n", "-l", "-r", path], capture_output=True, timeout=120, check=False)
    text = run.stdout.decode("latin1")
    blocks = re.split(r"^TCP connection \d+:$", text, flags=re.M)[1:]
    found = []
    for block in blocks:
        ends = re.findall(r"host \S+:\s+(\S+):(\d+)$", block, re.M)
        if len(ends) != 2:
            continue
        sides = [{}, {}]
        for line in block.split("\n"):
            two = re.match(r"\s+(\S.*?):\s+(\S+)(?: \S+)?\s+(\S.*?):\s+(\S+)(?: \S+)?\s*$", line)
            if two and two.group(1) == two.group(3):
                sides[0].setdefault(two.group(1), two.group(2))
                sides[1].setdefault(two.group(3), two.group(4))
        found.append(([(address(h), int(p)) for h, p in ends], sides))
    short = re.search(r"\*\*\* (\d+) packets were too short", text)
    seen = re.search(r"(\d+) packets seen, (\d+) TCP packets traced", text)
    n_seen, n_tcp = (int(n) for n in seen.groups()) if seen else (0, 0)
    return found, n_seen, n_tcp, int(short.group(1)) if short else 0


def culprit(path):
    """Connections with their segments, in order."""
    def run(stage, *args, flows=None):
        done = subprocess.run([os.path.join(BUILD, "libexec/culprit", stage), "-q", *args], input=flows,
                              capture_output=True, check=False)
        if done.returncode not in (0, 1):  # 1: the capture is damaged, and what was whole is there
            raise RuntimeError(f"{stage} {path}: exit status {done.returncode}: {done.stderr.decode('latin1')}")
        return done.stdout

    flows = run("analyze", flows=run("flowify", path))
    lists = [run("report", "-F", "json", *more, flows=flows).decode().splitlines() for more in ([], ["--segments"])]
    segments = collections.defaultdict(list)
    for line in lists[1]:
        record = json.loads(line)
        if record["record"] == "segment" and "seq" in record:
            if any(mark == "icmp" for mark in record["marks"]):
                continue
            segments[record["stream"]].append(record)
    found, summary = [], {}
    for line in lists[0]:
        record = json.loads(line)
        if record["record"] == "connection":
            found.append((record, segments[record["stream"]]))
        elif record["record"] == "summary":
            summary = record
    return found, summary


def average(mean, n):
    """As output.c divides: by a ten-thousandth more than there are."""
    return mean * n / (n + 0.0001)


def in_tcptrace_words(connection, name):
    """culprit's figures of a direction, under tcptrace's names."""
    side = connection[name]
    back = connection["s2c" if name == "c2s" else "c2s"]
    window = back["window"]  # that this direction's sender advertises
    ms = {key: side.get(f"rtt_{key}_ns", 0) / 1e6 for key in ("min", "mean", "max")}
    return {
        "packets": side["segments"], "unique bytes": side["unique_bytes"],
        "retransmitted": side["retransmitted"], "retransmitted bytes": side.get("retransmitted_bytes", 0),
        "out of order": side.get("out_of_order", 0),
        "RTT samples": side.get("rtt_samples", 0), "RTT min": ms["min"], "RTT max": ms["max"],
        "RTT avg": average(ms["mean"], side.get("rtt_samples", 0)),
        "window max": window["max_bytes"], "window min": window["min_bytes"], "window avg": window["mean_bytes"],
    }


THEIRS = {
    "packets": "total packets", "unique bytes": "unique bytes sent", "retransmitted": "rexmt data pkts",
    "retransmitted bytes": "rexmt data bytes", "out of order": "outoforder pkts", "RTT samples": "RTT samples",
    "RTT min": "RTT min", "RTT avg": "RTT avg", "RTT max": "RTT max", "window max": "max win adv",
    "window min": "min win adv", "window avg": "avg win adv",
}


def same(quantity, ours, theirs):
    if quantity.startswith("RTT ") and quantity != "RTT samples":
        return abs(ours - theirs) <= RTT_TOLERANCE_MS
    return abs(ours - theirs) <= (1 if quantity == "window avg" else 0)


class Sampler:
    """culprit's round trips of a direction, but those by timestamps (lib/tcp/path.h)."""

    def __init__(self):
        self.pending, self.highest, self.karn_until = [], -1, 0

    def send(self, seg, end, time):
        if seg["seq"] >= self.highest:
            self.pending.append((end, seg["seq"]))
            self.highest = end
        else:
            self.karn_until = self.highest

    def ack(self, ack):
        """(end, start) of what gives a sample; and of the newest that does not."""
        newest = None
        while self.pending and self.pending[0][0] <= ack:
            newest = self.pending.pop(0)
        within = bool(self.pending) and self.pending[0][1] < ack
        if newest is not None and newest[0] > self.karn_until and (newest[0] == ack or within):
            return newest, None
        return None, newest


class Explainer:
    """Both sets of rules over a connection's segments."""

    def __init__(self, connection, segments):
        isn = {name: connection[name]["isn"] for name in ("c2s", "s2c")}
        syn = {name: connection[name].get("syn") for name in ("c2s", "s2c")}
        asked = {name: syn[name] is not None and syn[name]["window_scale"] is not None for name in syn}
        for name in ("c2s", "s2c"):
            if syn[name] is None:
                isn[name] -= 1  # the first byte seen is byte 1
        self.alone = syn["s2c"]["window_scale"] if asked["s2c"] and syn["c2s"] is None else 0
        self.model = Tcptrace(isn, asked, self.alone)
        self.why = {name: collections.defaultdict(set) for name in ("c2s", "s2c")}
        self.sampler = {name: Sampler() for name in ("c2s", "s2c")}
        self.plain = {"c2s": 0, "s2c": 0}
        self.highest = {"c2s": -1, "s2c": -1}
        self.first = {}  # byte of a direction that was seen
        self.copies = {}
        self.partly = {"c2s": set(), "s2c": set()}  # ends of segments of which a part was acknowledged first
        self.twice = {"c2s": [], "s2c": []}
        self.window_zero = {"c2s": False, "s2c": False}
        self.rst = {"c2s": False, "s2c": False}
        for seg in segments:
            self.add(seg)

    def is_copy(self, seg, time):
        key = (seg["direction"], seg["seq"], seg["ack"], seg["bytes"], tuple(seg["flags"]), seg["window"])
        before = self.copies.setdefault(key, [])
        copy = any(abs(time - other) < 200000 for other in before)
        before.append(time)
        return copy

    def add(self, seg):
        name, marks, flags = seg["direction"], set(seg["marks"]), seg["flags"]
        back = "s2c" if name == "c2s" else "c2s"
        end = seg["seq"] + seg["bytes"] + ("SYN" in flags) + ("FIN" in flags)
        time = seg["micros"]
        other = self.model.side[back]
        closed = other.window_last == 0 and other.packets > 0
        highest = self.highest[name]
        copy = self.is_copy(seg, time)
        counted, samples = self.model.add(seg)
        if copy and "duplicate_frame" in marks:
            self.twice[name].append(end)
        if end > seg["seq"] and "RST" not in flags and "keep_alive" not in marks:
            self.first.setdefault(name, seg["seq"])
        self.judge_sequence(seg, marks, counted, end, highest, closed and ("probe" if other.windows else "rst"), copy)
        self.judge_samples(seg, marks, samples, end, time)
        if "RST" not in flags:
            self.highest[name] = max(highest, end)
        self.rst[name] |= "RST" in flags
        self.window_zero[name] |= seg["window"] == 0 and "RST" not in flags

    def judge_sequence(self, seg, marks, counted, end, highest, closed, copy):
        why = self.why[seg["direction"]]
        extra = end - seg["seq"] - seg["bytes"]
        again = "retransmission" in marks
        reason = None
        if copy and "duplicate_frame" in marks:
            reason = "twice"
        elif seg["seq"] >= MOD:
            reason = "wrap"
        elif "RST" in seg["flags"]:
            reason = "rst"
        elif "keep_alive" in marks and seg["bytes"] <= 1 and seg["seq"] == highest - 1:
            reason = "keep-alive"
        elif closed:
            reason = closed
        elif end <= self.first.get(seg["direction"], end):
            reason = "before"
        elif counted["out"] and counted["bytes"] == 0 and seg["seq"] < highest:
            reason = "hole"
        elif 0 < counted["bytes"] < end - seg["seq"]:
            reason = "overlap"
        elif counted["bytes"] == 0 and seg["seq"] < highest:
            reason = "shown"
        if again != (counted["rexmit"] > 0):
            why["retransmitted"].add(reason)
        if (seg["bytes"] if again else 0) != counted["bytes"]:
            flags_only = again and counted["bytes"] == seg["bytes"] + extra
            why["retransmitted bytes"].add("flags" if flags_only else reason)
        if ("out_of_order" in marks) != (counted["out"] > 0):
            why["out of order"].add(reason)
        agreed = again and reason is None and counted["bytes"] >= seg["bytes"]
        if (counted["bytes"] != 0 and not agreed) or counted["out"] or reason in ("probe", "rst", "before"):
            why["unique bytes"].add(reason)

    def judge_samples(self, seg, marks, samples, end, time):
        name, flags = seg["direction"], seg["flags"]
        back = "s2c" if name == "c2s" else "c2s"
        if "duplicate_frame" in marks:
            theirs = [s for s in samples if s[1] is not None]
            if theirs:
                self.why[back]["RTT samples"].add("twice")
            return
        if "ACK" in flags:
            taken, refused = self.sampler[back].ack(seg["ack"])
            self.plain[back] += taken is not None
            theirs = [s for s in samples if s[1] is not None]
            self.partly[back] |= {(end_of + 1) % MOD for end_of, _, w in samples if w == "inside"}
            if (taken is not None) != bool(theirs):
                whys = {w for _, _, w in samples if w is not None}
                if taken is not None and (self.model.isn[back] + taken[0]) % MOD in self.partly[back]:
                    whys.add("inside")
                reason = None
                if (seg["ack"] or 0) >= MOD:
                    reason = "wrap"
                elif taken is None and (refused or [seg["ack"]])[0] <= self.sampler[back].karn_until:
                    reason = "karn"
                elif taken is not None and whys & {"inside", "later"}:
                    reason = "later" if "later" in whys else "inside"
                elif taken is not None and taken[0] in self.twice[back]:
                    reason = "twice"
                elif taken is not None and not samples and self.model.side[name].window_last == 0:
                    reason = "probe"
                self.why[back]["RTT samples"].add(reason)
        if end > seg["seq"] and "keep_alive" not in marks:
            self.sampler[name].send(seg, end, time)

    def reasons(self, quantity, name, connection, ours, theirs, shift):
        """
        Names of rules that account for the difference; empty when they do not. shift:
        the window scale as tcptrace has it.
        """
        side, window = self.model.side[name], self.model.window(name)
        rtt = side.rtt
        ms = [side.rtt_min() / 1e3, average(sum(rtt) / max(len(rtt), 1) / 1e3, len(rtt)), max(rtt, default=0) / 1e3]
        modelled = {
            "packets": side.packets, "unique bytes": side.unique, "retransmitted": side.rexmit,
            "retransmitted bytes": side.rexmit_bytes, "out of order": side.out_of_order, "RTT samples": len(rtt),
            "RTT min": ms[0], "RTT avg": ms[1], "RTT max": ms[2],
            "window max": window[0], "window min": window[1], "window avg": window[2],
        }[quantity]
        if quantity.startswith("window") and shift > 14:
            more = shift - 14
            return {"shift"} if abs((int(ours) << more) - theirs) <= 1 << more else set()
        if not same(quantity, modelled, theirs):
            fewer = quantity == "unique bytes" and "fragments" in connection and theirs < ours
            return {"fragments"} if fewer else set()
        by_timestamp = connection[name].get("rtt_samples_by_timestamp", 0)
        if quantity == "RTT samples" or quantity.startswith("RTT "):
            if self.plain[name] + by_timestamp != connection[name].get("rtt_samples", 0):
                return set()
            why = set(self.why[name]["RTT samples"])
            if by_timestamp:
                why.add("timestamp")
            if quantity == "RTT min" and 0 in rtt:
                why.add("none")
            return why
        if quantity.startswith("window") and self.alone and name == "s2c":
            return {"scale"}
        if quantity == "window min":
            return {"zero"} if self.window_zero[name] and ours == 0 else set()
        if quantity == "window avg":
            return {"divisor"} if self.model.side[name].packets != len(side.windows) or self.rst[name] else set()
        return set(self.why[name][quantity])


def with_micros(segments):
    """Segments with the microseconds that a program without nanoseconds sees."""
    first = segments[0]["time"]
    start = datetime.datetime.fromisoformat(first[:19] + "+00:00")
    base = int(start.timestamp()) * 10**9 + int(first[20:29]) - segments[0]["relative_ns"]
    for seg in segments:
        seg["micros"] = (base + seg["relative_ns"]) // 1000
    return segments


class Tally:
    def __init__(self, verbose):
        self.verbose = verbose
        self.counts = {q: collections.Counter() for q in QUANTITIES}
        self.reasons = {q: collections.Counter() for q in QUANTITIES}
        self.files = collections.Counter()
        self.apart = collections.Counter()

    def compare(self, where, connection, segments, name, side):
        ours = in_tcptrace_words(connection, name)
        explainer = None
        for quantity in QUANTITIES:
            if THEIRS[quantity] not in side:
                continue
            theirs = float(side[THEIRS[quantity]])
            counts = self.counts[quantity]
            counts["compared"] += 1
            if same(quantity, ours[quantity], theirs):
                counts["agreed"] += 1
                continue
            if explainer is None:
                explainer = Explainer(connection, with_micros(segments))
            why = explainer.reasons(quantity, name, connection, ours[quantity], theirs,
                                    int(side.get("adv wind scale", 0)))
            good = bool(why) and None not in why
            counts["explained" if good else "unexplained"] += 1
            for reason in why if good else ():
                self.reasons[quantity][reason] += 1
            if not good or self.verbose:
                print(f"{where} {name}: {quantity}: culprit {ours[quantity]:g}, tcptrace {theirs:g}: "
                      f"{', '.join(sorted(why, key=str) if good else ['UNEXPLAINED ' + str(why)])}")

    def take(self, path):
        label = os.path.relpath(path, os.path.dirname(TOP))
        theirs, n_seen, n_tcp, n_short = tcptrace(path)
        ours, summary = culprit(path)
        n_other = summary.get("packets", 0) - n_tcp
        n_bad = summary.get("malformed", 0) + summary.get("too_short", 0)
        if not theirs:
            what = "without TCP for both" if not ours else "refused by tcptrace" if n_seen == 0 else "without TCP for tcptrace"
            self.files[what] += 1
            return
        self.files["compared"] += 1
        by_ends = collections.defaultdict(list)
        for ends, sides in theirs:
            by_ends[frozenset(ends)].append((ends, sides))
        mine = collections.defaultdict(list)
        for connection, segments in ours:
            ends = [(address(connection["client"]), connection["client_port"]),
                    (address(connection["server"]), connection["server_port"])]
            mine[frozenset(ends)].append((ends, connection, segments))
        for key, list_ in mine.items():
            other = by_ends.pop(key, [])
            total = sum(c["c2s"]["segments"] + c["s2c"]["segments"] for _, c, _ in list_)
            total_theirs = sum(int(s[0]["total packets"]) + int(s[1]["total packets"]) for _, s in other)
            if not other:
                # Behind tags and tunnels that it does not decode.
                n_other -= total
                self.leave(n_other >= 0, "no TCP for tcptrace, as it says itself", label, list_, total, 0)
                continue
            if total != total_theirs or len(other) != len(list_):
                missing = total - total_theirs
                if missing == 0:
                    self.leave(True, "cut otherwise: as many packets in all", label, list_, total, total_theirs)
                else:
                    n_short -= missing
                    self.leave(missing > 0 <= n_short, "too short for tcptrace, as it says itself", label, list_, total,
                               total_theirs)
                continue
            for (ends, connection, segments), (a_b, sides) in zip(list_, other):
                swap = a_b[0] != ends[0]
                self.compare(f"{label} stream {connection['stream']}", connection, segments, "c2s", sides[swap])
                self.compare(f"{label} stream {connection['stream']}", connection, segments, "s2c", sides[not swap])
        for list_ in by_ends.values():
            total = sum(int(s[0]["total packets"]) + int(s[1]["total packets"]) for _, s in list_)
            n_bad -= total
            self.leave(n_bad >= 0, "malformed for culprit, as it says itself", label, list_, 0, total)

    def leave(self, known, why, label, list_, total, total_theirs):
        """Connections that cannot be compared."""
        self.apart[why if known else "UNEXPLAINED"] += len(list_)
        if self.verbose or not known:
            print(f"{label} {list_[0][0]}: {total} packets, tcptrace {total_theirs}: {why if known else 'UNEXPLAINED'}")

    def show(self):
        print("captures: " + ", ".join(f"{n} {what}" for what, n in sorted(self.files.items())))
        if self.apart:
            print("connections not compared: " + "; ".join(f"{n} {what}" for what, n in sorted(self.apart.items())))
        print(f"{'directions':<20} {'compared':>9} {'agreed':>9} {'explained':>9} {'unexplained':>11}")
        for quantity in QUANTITIES:
            c = self.counts[quantity]
            print(f"{quantity:<20} {c['compared']:>9} {c['agreed']:>9} {c['explained']:>9} {c['unexplained']:>11}"
                  + "".join(f"  {r} {n}" for r, n in self.reasons[quantity].most_common()))
        used = {r for reasons in self.reasons.values() for r in reasons}
        for reason in sorted(used):
            print(f"  {reason}: {REASONS[reason]}")
        return sum(c["unexplained"] for c in self.counts.values()) + self.apart["UNEXPLAINED"]


def main():
    args = sys.argv[1:]
    verbose = "-v" in args
    paths = [a for a in args if a != "-v"]
    try:
        subprocess.run(["tcptrace", "-v"], capture_output=True, check=False)
    except FileNotFoundError:
        print("no tcptrace", file=sys.stderr)
        return 77
    if not paths:
        paths = sorted(glob.glob(TOP + "/samples/*.pcap*") + glob.glob(TOP + "/../shared/captures/*/*"))
    tally = Tally(verbose)
    for path in paths:
        tally.take(path)
    return 1 if tally.show() else 0


if __name__ == "__main__":
    sys.exit(main())
