#!/usr/bin/env python3
"""The lab: captures whose culprit is known because it was caused.

lab.py --out DIR [--seeds N] [--only NAME,...] [--jobs N] [--keep NAME:VANTAGE=FILE]

For each scenario and seed: two network namespaces, the wire between them, a scripted client and server; a capture at the
client, in the middle and at the server, each with NAME.truth.json. Truth comes from the programs' logs and the wire's
log, never from an analysis. Needs root, /dev/net/tun and iproute2.
"""
import argparse
import concurrent.futures
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
VANTAGES = ("client", "middle", "server")
SERVER_ADDRESS = "10.99.2.1"
CLIENT_ADDRESS = "10.99.1.1"
MS = 1_000_000

SCENARIOS = {}


def scenario(function):
    SCENARIOS[function.__name__.replace("_", "-")] = function
    return function


def plan(rng, party, cause, server, client, wire=(), rtt=None, **more):
    """What one run does and what it proves. Times in seconds, as the peers' steps have them."""
    rtt = rtt if rtt is not None else rng.choice([4, 12, 30, 60, 97, 140])
    base = dict(party=party, cause=cause, server=list(server), client=list(client), wire=list(wire), rtt_ms=rtt,
                entries=[], slow_ms=150, acceptable=[], unknowable=[], port=rng.choice([80, 5432, 3306, 6379, 8080]))
    base.update(more)
    if base.get("download"):  # the client reads to the end of the data: the server says where it is
        base["server"] = [s for step in base["server"] for s in (("shutdown", "upto") if step == "upto" else (step,))]
    return base


def size(rng, low, high):
    return int(low * (high / low) ** rng.random())


def seconds(rng, low, high):
    return round(low * (high / low) ** rng.random(), 3)


@scenario
def all_fast(rng):
    n = rng.randint(1, 4)
    return plan(rng, "none", "none", ["accept"] + ["recv:300", "send:2000"] * n + ["upto", "close"],
                ["connect"] + ["http:/fast:300", "recv:2000"] * n + ["close"], rtt=rng.choice([2, 12, 30]))


@scenario
def idle_between_requests(rng):
    idle = seconds(rng, 0.5, 3)
    return plan(rng, "none", "none", ["accept"] + ["recv:300", "send:2000"] * 2 + ["upto", "close"],
                ["connect", "send:300", "recv:2000", f"sleep:{idle}", "send:300", "recv:2000", "close"], rtt=12)


@scenario
def server_thinks(rng):
    think = seconds(rng, 0.3, 4)
    n = size(rng, 200, 40000)
    return plan(rng, "server", "server.think", ["accept", "recv:400", f"think:{think}", f"reply:{n}", "upto", "close"],
                ["connect", "http:/report:400", f"recv:{n}", "close"], entries=["server.think"])


@scenario
def server_thinks_later(rng):
    think = seconds(rng, 0.3, 2)
    return plan(rng, "server", "server.think",
                ["accept", "recv:300", "send:900", "recv:500", f"think:{think}", "send:700", "upto", "close"],
                ["connect", "send:300", "recv:900", f"sleep:{seconds(rng, 0.2, 2)}", "send:500", "recv:700", "close"],
                entries=["server.think"], target=1)


@scenario
def server_thinks_kept_alive(rng):
    return plan(rng, "server", "server.think", ["accept", "recv:400", f"think:{seconds(rng, 2.5, 5)}", "send:900", "upto", "close"],
                ["opt:keepidle:1", "opt:keepintvl:1", "connect", "send:400", "recv:900", "close"], entries=["server.think"])


@scenario
def server_pauses(rng):
    pause = seconds(rng, 0.3, 2)
    n = size(rng, 2000, 12000)  # within the initial window: a sleeping program's kernel sends no more
    return plan(rng, "server", "server.pause",
                ["accept", "recv:400", f"send:{n}", f"pause:{pause}", f"send:{n}", "upto", "close"],
                ["connect", "http:/page:400", f"recv:{2 * n}", "close"], entries=["server.pause", "server.think"])


@scenario
def server_trickles(rng):
    chunk, times, gap = rng.randint(80, 900), rng.randint(8, 20), seconds(rng, 0.05, 0.2)
    return plan(rng, "server", "server.pause", ["accept", "recv:400", f"trickle:{chunk}:{times}:{gap}", "upto", "close"],
                ["connect", "http:/feed:400", f"recv:{chunk * times}", "close"],  entries=["server.pause"])


@scenario
def greeting_slow(rng):
    return plan(rng, "server", "server.think",
                ["accept", f"think:{seconds(rng, 0.3, 2)}", "send:80", "recv:60", "send:60", "upto", "close"],
                ["connect", "recv:80", "send:60", "recv:60", "close"], kind="greeting", entries=["server.think"])


@scenario
def pipelined(rng):
    return plan(rng, "server", "server.think",
                ["accept", "recv:600", f"think:{seconds(rng, 0.3, 1)}", "send:400", "send:500", "upto", "close"],
                ["opt:nodelay:1", "connect", "send:300", "send:300", "recv:900", "close"], entries=["server.think"])


@scenario
def tls_thinks(rng):
    return plan(rng, "server", "server.think",
                ["accept", "tls", "recv:300", f"think:{seconds(rng, 0.4, 2)}", "send:3000", "upto", "close"],
                ["opt:nodelay:1", "connect", "tls", "send:300", "recv:3000", "close"], entries=["server.think"], port=443,
                rtt=rng.choice([12, 30, 97]))


@scenario
def client_pauses(rng):
    pause = seconds(rng, 0.3, 2)
    n = size(rng, 1000, 12000)
    return plan(rng, "client", "client.pause", ["accept", f"recv:{2 * n}", "send:300", "upto", "close"],
                ["connect", f"send:{n}", f"pause:{pause}", f"send:{n}", "recv:300", "close"], entries=["client.pause"])


@scenario
def client_uploads_slowly(rng):
    chunk, times, gap = rng.randint(100, 900), rng.randint(8, 20), seconds(rng, 0.05, 0.2)
    return plan(rng, "client", "client.pause", ["accept", f"recv:{chunk * times}", "send:300", "upto", "close"],
                ["connect", f"trickle:{chunk}:{times}:{gap}", "recv:300", "close"],  entries=["client.pause"])


@scenario
def client_window_closed(rng):
    stop = seconds(rng, 0.6, 2)
    return plan(rng, "client", "client.window", ["accept", "recv:300", "send:300000", "upto", "close"],
                ["opt:rcvbuf:16384", "connect", "send:300", "recv:1000", f"sleep:{stop}", "recv:299000", "close"])


@scenario
def client_window_small(rng):
    return plan(rng, "client", "client.window", ["accept", "recv:300", "send:120000", "upto", "close"],
                ["opt:rcvbuf:4096", "connect", "send:300", "recv:120000", "close"], rtt=rng.choice([60, 97, 140]))


@scenario
def client_reads_slowly(rng):
    return plan(rng, "client", "client.window", ["accept", "recv:300", "send:200000", "upto", "close"],
                ["opt:rcvbuf:16384", "connect", "send:300", f"slowrecv:200000:8000:{seconds(rng, 0.03, 0.08)}", "close"])


@scenario
def server_window(rng):
    stop = seconds(rng, 0.6, 2)
    return plan(rng, "server", "server.window",
                ["opt:rcvbuf:16384", "accept", "recv:1000", f"sleep:{stop}", "recv:299000", "send:300", "upto", "close"],
                ["connect", "send:300000", "recv:300", "close"])


@scenario
def syn_lost(rng):
    n = rng.choice([1, 1, 2])
    place = rng.choice(["before", "after"])
    return plan(rng, "network", "network.connect", ["accept", "recv:300", "send:900", "upto", "close"],
                ["connect", "send:300", "recv:900", "close"], wire=[f"c2s.drop=syn,1,{n},{place}"], kind="connect",
                entries=["network.connect"],
                unknowable=["middle", "server"] if place == "before" else ["server"])


@scenario
def syn_ack_lost(rng):
    place = rng.choice(["before", "after"])
    return plan(rng, "network", "network.connect", ["accept", "recv:300", "send:900", "upto", "close"],
                ["connect", "send:300", "recv:900", "close"], wire=[f"s2c.drop=syn,1,1,{place}"], kind="connect",
                entries=["network.connect"])


@scenario
def request_lost(rng):
    n = rng.choice([1, 1, 2])
    place = rng.choice(["before", "after"])
    return plan(rng, "network", "network.loss", ["accept", "recv:400", "send:900", "upto", "close"],
                ["connect", "http:/lost:400", "recv:900", "close"], wire=[f"c2s.drop=data,1,{n},{place}"],
                entries=["network.loss", "server.think"],
                unknowable=(["middle", "server"] if place == "before" else ["server"]))


@scenario
def answer_lost(rng):
    n = rng.choice([1, 1, 2])
    place = rng.choice(["before", "after"])
    return plan(rng, "network", "network.loss", ["accept", "recv:400", "send:900", "upto", "close"],
                ["connect", "send:400", "recv:900", "close"], wire=[f"s2c.drop=data,1,{n},{place}"], entries=["network.loss"])


@scenario
def tail_lost(rng):
    k = rng.randint(4, 9)
    n = rng.choice([1, 2])
    place = rng.choice(["before", "after"])
    return plan(rng, "network", "network.loss", ["accept", "recv:400", f"send:{1448 * k}", "upto", "close"],
                ["connect", "send:400", f"recv:{1448 * k}", "close"], wire=[f"s2c.drop=data,{k},{n},{place}"],
                entries=["network.loss"], rtt=rng.choice([60, 97, 140]))


@scenario
def lossy_download(rng):
    return plan(rng, "network", "network.loss", ["accept", "recv:300", f"send:{size(rng, 200000, 500000)}", "upto", "close"],
                ["connect", "send:300", "upto", "close"], wire=[f"s2c.loss={rng.uniform(0.03, 0.08):.3f}",
                                                               f"s2c.place={rng.choice(['before', 'after'])}"],
                acceptable=["network.transfer"], download=True, rtt=rng.choice([30, 60]))


@scenario
def burst_loss(rng):
    return plan(rng, "network", "network.loss", ["accept", "recv:300", f"send:{size(rng, 200000, 500000)}", "upto", "close"],
                ["connect", "send:300", "upto", "close"],
                wire=["s2c.burst=0.01,0.3", f"s2c.place={rng.choice(['before', 'after'])}"],
                acceptable=["network.transfer"], download=True, rtt=rng.choice([30, 60]))


@scenario
def outage(rng):
    begin = rng.uniform(0.25, 0.4)
    end = begin + rng.uniform(0.4, 1.2)
    return plan(rng, "network", "network.loss", ["accept", "recv:300", "send:1500000", "upto", "close"],
                ["connect", "send:300", "upto", "close"], wire=[f"outage={int(begin * 1e9)},{int(end * 1e9)}",
                                                               "s2c.rate=20000000,100000"],
                acceptable=["network.transfer"], download=True, rtt=30)


@scenario
def narrow_link(rng):
    queue = rng.choice([15000, 60000, 250000])
    return plan(rng, "network", "network.transfer", ["accept", "recv:300", "send:200000", "upto", "close"],
                ["connect", "send:300", "upto", "close"], wire=[f"s2c.rate={rng.choice([1000000, 2000000])},{queue}"],
                download=True, acceptable=["network.loss"] if queue < 60000 else [], rtt=rng.choice([12, 30]))


@scenario
def narrow_uplink(rng):
    return plan(rng, "network", "network.transfer", ["accept", "recv:150000", "send:300", "upto", "close"],
                ["connect", "send:150000", "recv:300", "close"], wire=[f"c2s.rate={rng.choice([1000000, 2000000])},250000"],
                rtt=rng.choice([12, 30]))


@scenario
def long_path(rng):
    return plan(rng, "network", "network.rtt", ["accept", "recv:300", "send:900", "upto", "close"],
                ["connect", "send:300", "recv:900", "close"], rtt=rng.choice([300, 450, 600]))


@scenario
def reordering(rng):
    return plan(rng, "none", "none", ["accept", "recv:300", "send:60000", "upto", "close"],
                ["connect", "send:300", "upto", "close"], wire=["s2c.reorder=0.1,1500000"], download=True, rtt=12)


@scenario
def duplication(rng):
    return plan(rng, "none", "none", ["accept", "recv:300", "send:60000", "upto", "close"],
                ["connect", "send:300", "upto", "close"], wire=["s2c.dup=0.1", "c2s.dup=0.1"], download=True, rtt=12)


@scenario
def jitter(rng):
    return plan(rng, "none", "none", ["accept", "recv:300", "send:30000", "upto", "close"],
                ["connect", "send:300", "upto", "close"], wire=["s2c.jitter=8000000", "c2s.jitter=8000000"], download=True,
                rtt=12)


@scenario
def mirror_twice(rng):
    think = seconds(rng, 0.3, 1)
    return plan(rng, "server", "server.think", ["accept", "recv:300", f"think:{think}", "send:9000", "upto", "close"],
                ["connect", "send:300", "recv:9000", "close"],
                wire=["mirror.client=1", "mirror.middle=1", "mirror.server=1"], entries=["server.think"])


@scenario
def snaplen_96(rng):
    think = seconds(rng, 0.3, 1)
    return plan(rng, "server", "server.think", ["accept", "recv:3000", f"think:{think}", "send:9000", "upto", "close"],
                ["connect", "send:3000", "recv:9000", "close"], wire=["snaplen=96"], entries=["server.think"])


@scenario
def no_handshake(rng):
    think = seconds(rng, 0.5, 1)
    return plan(rng, "server", "server.think",
                ["accept"] + ["recv:300", "send:900"] * 3 + ["recv:300", f"think:{think}", "send:900", "upto", "close"],
                ["connect"] + ["send:300", "recv:900"] * 4 + ["close"], cut_handshake=True, entries=["server.think"], target=3)


@scenario
def capture_misses(rng):
    think = seconds(rng, 0.5, 1)
    return plan(rng, "server", "server.think", ["accept", "recv:300", f"think:{think}", "send:90000", "upto", "close"],
                ["connect", "send:300", "upto", "close"],
                wire=["miss.client=0.03", "miss.middle=0.03", "miss.server=0.03"], download=True,
                acceptable=["unknown.capture"])


@scenario
def nagle_and_delayed_ack(rng):
    return plan(rng, "server", "server.delayed_ack",
                ["accept"] + ["recv:200", "send:200"] * 20 + ["recv:400", "send:200", "upto", "close"],
                ["connect"] + ["send:200", "recv:200"] * 20 + ["send:200", "send:200", "recv:200", "close"],
                rtt=4, slow_ms=25, target=20)


@scenario
def refused(rng):
    return plan(rng, "server", "server.connect", [], ["connect"], kind="connect", outcome="refused", slow_ms=0)


@scenario
def prohibited(rng):
    return plan(rng, "network", "network.connect", ["accept"], ["connect"], wire=["prohibit=1"], kind="connect",
                outcome="refused", slow_ms=0, unknowable=["server"])


@scenario
def mtu_black_hole(rng):
    icmp = rng.choice([0, 1])
    return plan(rng, "network", "network.mtu", ["accept", "recv:300", "send:20000", "upto", "close"],
                ["connect", "send:300", "upto", "close"], wire=["s2c.mtu=1300", f"icmp={icmp}"], download=True, wait=6,
                acceptable=["network.loss"] if not icmp else [], rtt=12,
                slow_ms=25, unknowable=["client"])


@scenario
def think_and_loss(rng):
    think = seconds(rng, 1.5, 3)
    return plan(rng, "server", "server.think", ["accept", "recv:400", f"think:{think}", "send:40000", "upto", "close"],
                ["connect", "send:400", "recv:40000", "close"], wire=["s2c.drop=data,6,1,after"],
                entries=["server.think", "network.loss"], rtt=30)


@scenario
def loss_and_think(rng):
    think = seconds(rng, 0.05, 0.1)
    return plan(rng, "network", "network.loss", ["accept", "recv:400", f"think:{think}", "send:900", "upto", "close"],
                ["connect", "send:400", "recv:900", "close"], wire=["c2s.drop=data,1,2,after"],
                entries=["server.think", "network.loss"], rtt=30, unknowable=["server"])


@scenario
def reference(rng):
    """The case of a well-known lesson, in real time: 97 ms away, an answer after 108 s, keep-alives while waiting."""
    return plan(rng, "server", "server.think",
                ["accept", "recv:1495", "think:108", "send:512", "upto", "close"],
                ["opt:keepidle:45", "opt:keepintvl:45", "connect", "send:1495", "recv:512", "close"],
                # The server's TCP acknowledges each segment; the first of these ACKs is lost, as harmless as it is common.
                wire=["s2c.drop=any,2,1,before"], rtt=97, port=5432, entries=["server.think"])


REAL_TIME = ("reference",)  # only when asked for by name


# The wire and the peers come first, so that a busy machine does not add slowness that no log knows of.
REAL_TIME_FIRST = ["chrt", "-f", "50"]


def run(command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)


def read_log(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Host:
    """A network namespace with its end of the wire."""

    def __init__(self, name, address, peer):
        self.name, self.address, self.peer = name, address, peer
        run(["ip", "netns", "add", name])

    def up(self, mtu=1500):
        inside = ["ip", "netns", "exec", self.name]
        run(inside + ["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv4.tcp_no_metrics_save=1"])
        run(inside + ["ip", "link", "set", "lo", "up"])
        run(inside + ["ip", "addr", "add", self.address + "/32", "dev", "lab0"])
        run(inside + ["ip", "link", "set", "lab0", "mtu", str(mtu), "up"])
        run(inside + ["ip", "route", "add", "default", "dev", "lab0"])

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False, stderr=subprocess.DEVNULL)


def sleeps(log, *names):
    return sum(e["end_ns"] - e["start_ns"] for e in log if e["step"].split(":")[0] in names)


def thinking(log):
    """From when the server's program had a request to when it began to send, as it slept in between."""
    total, since = 0, None
    for e in log:
        name = e["step"].split(":")[0]
        if name in ("send", "reply", "trickle"):
            total += e["start_ns"] - since if since else 0
            since = None
        elif name == "think":
            since = since or e["start_ns"]
    return total


def union(intervals):
    total, end = 0, None
    for start, stop in sorted(intervals):
        if end is None or start > end:
            total += stop - start
            end = stop
        elif stop > end:
            total += stop - end
            end = stop
    return total


def losses(journal, flags=0, direction=None):
    """Times from each first loss to when a later copy passed the same place; of SYNs when flags is 2."""
    first, intervals = {}, []
    for event in journal:
        if event["what"] not in ("drop", "resent") or bool(event["flags"] & 2) != bool(flags):
            continue
        if direction and event["dir"] != direction:
            continue
        key = (event["dir"], event["seq"], event["client_port"])
        if event["what"] == "drop":
            first.setdefault(key, event["time_ns"])
        elif key in first:
            intervals.append((first.pop(key), event["time_ns"]))
    return union(intervals)


def exchanges(log):
    """The client's exchanges: (first send, last receive), from its log."""
    found, start = [], None
    for e in log:
        name = e["step"].split(":")[0]
        if name in ("send", "http", "trickle"):
            start = start or e["start_ns"]
        elif name in ("recv", "slowrecv", "upto") and start:
            if found and found[-1][0] == start:
                found[-1] = (start, e["end_ns"])
            else:
                found.append((start, e["end_ns"]))
        if name in ("send", "http", "trickle") and found and found[-1][0] == start:
            start = e["start_ns"]
    return found


def truth_of(name, seed, what, logs, journal, vantage):
    client, server = logs
    ledger = {}
    if "server.think" in what["entries"]:
        ledger["server.think"] = thinking(server) / MS
    if "server.pause" in what["entries"]:
        ledger["server.pause"] = sleeps(server, "pause", "trickle") / MS
    if "client.pause" in what["entries"]:
        ledger["client.pause"] = sleeps(client, "pause", "trickle") / MS
    if "network.loss" in what["entries"]:
        ledger["network.loss"] = losses(journal) / MS
    if "network.connect" in what["entries"]:
        ledger["network.connect"] = losses(journal, flags=2) / MS
    kind = what.get("kind", "request")
    transaction = {"kind": kind, "party": what["party"], "cause": what["cause"], "ledger_ms": ledger,
                   "acceptable": what["acceptable"]}
    connect = next((e for e in client if e["step"] == "connect"), None)
    if kind == "request":
        found = exchanges(client)
        target = what.get("target", 0)
        if target < len(found):
            start, end = found[target]
            transaction["start_ns"], transaction["total_ms"] = start, (end - start) / MS
        transaction["index"] = target
    elif kind == "connect" and connect:
        transaction["total_ms"] = (connect["end_ns"] - connect["start_ns"]) / MS
    return {"scenario": name, "seed": seed, "vantage": vantage, "rtt_ms": what["rtt_ms"], "slow_ms": what["slow_ms"],
            "knowable": vantage not in what["unknowable"], "refused": what.get("outcome") == "refused", "transactions": [transaction]}


def cut_handshake(path):
    """Drops the first three frames, as when a capture begins in mid-connection."""
    with open(path, "rb") as file:
        data = file.read()
    at = 24
    for _ in range(3):
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
    with open(path, "wb") as file:
        file.write(data[:24] + data[at:])


def run_one(name, seed, out, wire, cert, snaplen):
    rng = random.Random(f"{name}/{seed}")
    what = SCENARIOS[name](rng)
    tag = f"{os.getpid() % 1000}{abs(hash((name, seed))) % 100000}"
    prefix = os.path.join(out, f"{name}.{seed}")
    hosts = (Host("lc" + tag, CLIENT_ADDRESS, SERVER_ADDRESS), Host("ls" + tag, SERVER_ADDRESS, CLIENT_ADDRESS))
    processes = []
    try:
        options = [f"delay={int(what['rtt_ms'] * MS / 2)}", f"seed={seed + 1}", f"snaplen={snaplen}"] + what["wire"]
        process = subprocess.Popen(REAL_TIME_FIRST + [wire, hosts[0].name, hosts[1].name, prefix] + options, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        process.stdout.readline()
        for host in hosts:
            host.up()
        peer = REAL_TIME_FIRST + [sys.executable, os.path.join(HERE, "peer.py")]
        logs = [prefix + ".client.jsonl", prefix + ".server.jsonl"]
        open(logs[1], "w", encoding="utf-8").close()
        if what["server"]:
            server = subprocess.Popen(["ip", "netns", "exec", hosts[1].name] + peer + ["server", str(what["port"]), logs[1], cert]
                                      + what["server"], stdout=subprocess.PIPE, text=True)
            processes.append(server)
            server.stdout.readline()
        client = subprocess.Popen(["ip", "netns", "exec", hosts[0].name] + peer
                                  + ["client", SERVER_ADDRESS, str(what["port"]), logs[0], cert] + what["client"])
        processes.append(client)
        try:
            client.wait(timeout=what.get("wait", 150))
            if what["server"] and client.returncode == 0:
                processes[1].wait(timeout=3)
        except subprocess.TimeoutExpired:
            pass
        # What is still on the way arrives.
        try:
            process.wait(timeout=max(0.3, what["rtt_ms"] * 3 / 1000))
        except subprocess.TimeoutExpired:
            pass
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=5)
        logs = [read_log(path) for path in logs]
        journal = read_log(prefix + ".wire.jsonl")
        for vantage in VANTAGES:
            if what.get("cut_handshake"):
                cut_handshake(f"{prefix}-{vantage}.pcap")
            truth = truth_of(name, seed, what, logs, journal, vantage)
            with open(f"{prefix}-{vantage}.truth.json", "w", encoding="utf-8") as file:
                json.dump(truth, file, indent=1)
                file.write("\n")
        return f"{name}.{seed}: done"
    except (subprocess.SubprocessError, OSError, IndexError, struct.error) as error:
        return f"{name}.{seed}: FAILED: {error!r}"
    finally:
        for p in processes:
            if p.poll() is None:
                p.kill()
                p.wait()
        for host in hosts:
            host.remove()


def main():
    parser = argparse.ArgumentParser(description="Make captures whose culprit is known.")
    parser.add_argument("--out", required=True)
    parser.add_argument("--wire", required=True, help="the wire program")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--snaplen", type=int, default=65535)
    parser.add_argument("-j", "--jobs", type=int, default=8)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    names = args.only.split(",") if args.only else [n for n in SCENARIOS if n not in REAL_TIME]
    with tempfile.TemporaryDirectory() as tmp:
        cert = os.path.join(tmp, "lab.pem")
        run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", cert, "-out", cert + ".crt", "-days", "2",
             "-subj", "/CN=lab.example"])
        with open(cert, "a", encoding="utf-8") as file, open(cert + ".crt", encoding="utf-8") as crt:
            file.write(crt.read())
        work = [(n, s) for s in range(args.first_seed, args.first_seed + args.seeds) for n in names]
        failed = 0
        with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
            for line in pool.map(run_one, *zip(*work), *([x] * len(work) for x in (args.out, args.wire, cert, args.snaplen))):
                failed += "FAILED" in line
                if "FAILED" in line:
                    print(line, file=sys.stderr)
        print(f"{len(work) - failed} of {len(work)} runs made their captures in {args.out}")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
