"""What is true of a capture, from the logs of the programs and of the wire; never from an analysis of the capture.

The wire's log has each packet's whole life, so what happened at both ends is known to the nanosecond; the programs' logs
say what they did. The ledger of a transaction follows from the definitions in DESIGN section 5.
"""
import bisect

VANTAGES = ("client", "middle", "server")
NS_PER_MS = 1_000_000
FIN, SYN, RST, ACK = 1, 2, 4, 16
DIRS = ("c2s", "s2c")
OTHER = {"c2s": "s2c", "s2c": "c2s"}
SENDER = {"c2s": "client", "s2c": "server"}
# A sender reacts to an ACK within this.
REACTION_NS = 2 * NS_PER_MS
# Linux delays an ACK by 40 ms at least.
DELAYED_ACK_NS = 20 * NS_PER_MS
DELAYED_ACK_MOST_NS = 500 * NS_PER_MS
# So often alike is no chance.
HABIT = 4
# A share of the blame this near to the largest is another defensible verdict; of the same party, one much smaller:
# where loss ends and congestion begins is a matter of definition, who is to blame is not.
CLOSE_CALL = 0.6
CLOSE_CALL_WITHIN_PARTY = 0.25
NEVER = 1 << 62


class TruthError(Exception):
    """The logs contradict each other or the scenario."""


# Intervals: sorted lists of disjoint (start, end).

def union(intervals):
    merged = []
    for start, end in sorted(i for i in intervals if i[1] > i[0]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def clip(intervals, start, end):
    return [(max(a, start), min(b, end)) for a, b in intervals if min(b, end) > max(a, start)]


def subtract(intervals, holes):
    left = []
    for start, end in intervals:
        for a, b in holes:
            if b <= start or a >= end:
                continue
            if a > start:
                left.append((start, a))
            start = b
        if end > start:
            left.append((start, end))
    return left


def shift(intervals, by):
    return [(a + by, b + by) for a, b in intervals]


def length(intervals):
    return sum(b - a for a, b in intervals)


class Packet:
    """A line of the wire's log."""

    def __init__(self, line):
        self.dir, self.client_port = line["dir"], line["client_port"]
        self.near, self.middle, self.far = line["times_ns"]
        self.frames = line["frames"]
        self.offset, self.end = line["offset"], line["offset"] + line["len"]
        self.len, self.flags, self.window = line["len"], line["flags"], line["window"]
        ack = line["ack"]
        self.ack = ack - (1 << 32) if ack >= 1 << 31 else ack  # an offset; -1 in a SYN-ACK's eyes is 0 here
        self.scale = line.get("window_scale", -1)
        self.lost, self.hop = line.get("lost"), line.get("hop")
        self.queued = line.get("queued_ns", 0)

    def at(self, vantage):
        return (self.near, self.middle, self.far)[self.place(vantage)]

    def frame(self, vantage):
        return self.frames[self.place(vantage)]

    def place(self, vantage):
        place = VANTAGES.index(vantage)
        return place if self.dir == "c2s" else 2 - place


class Stream:
    """One direction of a connection: what was sent, what arrived, what the sender knew of it."""

    def __init__(self, packets, direction, transit_ns):
        self.dir = direction
        self.transit = transit_ns
        self.sent = sorted((p for p in packets if p.dir == direction and p.near), key=lambda p: p.near)
        scales = {p.dir: p.scale for p in packets if p.flags & SYN}
        self.window_scale = scales.get(OTHER[direction], -1) if min(scales.values(), default=-1) >= 0 else 0
        self.data = [p for p in self.sent if p.len > 0]
        self.acks = sorted((p for p in packets if p.dir == OTHER[direction] and p.far and p.flags & ACK), key=lambda p: p.far)
        self.in_order = self._in_order()
        self.holes = [(p, hole) for p in self.data if p.lost for hole in [self._hole(p)] if hole]

    def _in_order(self):
        """[(time, offset)]: at the receiver, all before offset had arrived at time."""
        steps, edge, waiting = [], 0, []
        for p in sorted((p for p in self.data if p.far), key=lambda p: p.far):
            waiting.append((p.offset, p.end))
            waiting.sort()
            before = edge
            while waiting and waiting[0][0] <= edge:
                edge = max(edge, waiting.pop(0)[1])
            if edge > before:
                steps.append((p.far, edge))
        return steps

    def first_sent(self, offset):
        return next((p for p in self.data if p.offset <= offset < p.end), None)

    def complete(self, end):
        """When all before end had arrived; None: never."""
        return next((t for t, edge in self.in_order if edge >= end), None)

    def _hole(self, lost):
        """From when a lost segment would have arrived until it did, at the receiver. None: a copy was there before."""
        expected = lost.near + self.transit
        copies = [p for p in self.data if p.far and p.offset < lost.end and p.end > lost.offset]
        covering = [p.far - p.queued for p in copies if p.end >= lost.end]
        if not covering:
            return (expected, NEVER)
        return (expected, min(covering)) if min(covering) > expected else None

    def all_acked(self):
        """When everything sent was acknowledged, at the sender: intervals."""
        events = [(p.near, 0, p.end) for p in self.data] + [(p.far, 1, p.ack) for p in self.acks]
        quiet, since, sent, acked = [], 0, 0, 0
        for time, is_ack, edge in sorted(events):
            was_quiet = acked >= sent
            if is_ack:
                acked = max(acked, edge)
            else:
                sent = max(sent, edge)
            if acked >= sent and not was_quiet:
                since = time
            elif acked < sent and was_quiet:
                quiet.append((since, time))
        return quiet + ([(since, NEVER)] if acked >= sent else [])

    def nothing_to_send(self, given):
        """When all that the program had handed over had been sent, at the sender: intervals."""
        events = [(p.near, p.end, 0) for p in self.data] + [(t, 0, end) for t, end in given]
        idle, since, sent, available = [], None, 0, 0
        for time, sent_to, given_to in sorted(events):
            sent, available = max(sent, sent_to), max(available, given_to)
            if sent >= available and since is None:
                since = time
            elif sent < available and since is not None:
                idle.append((since, time))
                since = None
        return idle + ([(since, NEVER)] if since is not None else [])

    def queued(self):
        """When a bottleneck was holding some of it, in the sender's time: intervals."""
        return union(shift([(p.far - p.queued, p.far) for p in self.data if p.far and p.queued], -self.transit))

    def window_limited(self, given, mss):
        """When the sender had data and the receiver's window kept it back, at the sender. given: offset -> time."""
        events = [(p.far, 1, p) for p in self.acks] + [(p.near, 0, p) for p in self.data] + [(t, 2, None) for t, _ in given]
        limited, since = [], None
        sent = acked = 0
        window = None
        for time, what, p in sorted(events, key=lambda e: e[:2]):
            if what == 1 and p.ack >= acked:
                acked = p.ack
                window = p.window << (0 if p.flags & SYN else self.window_scale)
            elif what == 0:
                sent = max(sent, p.end)
            available = max((end for t, end in given if t <= time), default=0)
            waiting = available - sent
            is_limited = window is not None and waiting > 0 and acked + window - sent < min(mss, waiting)
            if is_limited and since is None:
                since = time
            elif not is_limited and since is not None:
                limited.append((since, time))
                since = None
        return union(limited)

    def held_by_delayed_acks(self, given):
        """When a segment waited for an ACK that the receiver delayed, at the sender: Nagle's algorithm held it, or a
        congestion window of so little that the receiver saw no reason for an ACK."""
        held = []
        times = [p.far for p in self.acks]
        for p in self.data:
            if p.lost and p.hop == "before":
                continue
            index = bisect.bisect_right(times, p.near) - 1
            if index < 0:
                continue
            ack = self.acks[index]
            if index > 0 and ack.ack <= self.acks[index - 1].ack:
                continue  # it tells of other segments
            ready = max((t for t, end in given if end <= p.offset), default=None)
            ready = next((t for t, end in given if end > p.offset), ready)
            if p.near - ack.far > REACTION_NS or ready is None or ready > p.near - DELAYED_ACK_NS:
                continue
            arrived = max((t for t, edge in self.in_order if edge <= ack.ack and t <= ack.near), default=None)
            if arrived is not None and ack.near - arrived > DELAYED_ACK_NS:
                held.append((max(arrived + self.transit, ready), ack.far))
        return union(held)


class Program:
    """A peer's log."""

    def __init__(self, log):
        self.steps = log

    def given(self, start, end):
        """[(time, end offset)]: when the program handed over its bytes of a range; waiting to drain counts as having them."""
        found, ready = [], None
        for step in self.steps:
            if step["step"] == "drain":
                ready = step["start_ns"]
            elif "sent" in step:
                a, b = step["sent"]
                if a < end and b > start:
                    found.append((ready or step["start_ns"], b))
                ready = None
            elif "received" in step or step["step"].startswith("sleep"):
                ready = None
        return found

    def send_start(self, offset):
        return next((s["start_ns"] for s in self.steps if "sent" in s and s["sent"][0] <= offset < s["sent"][1]), None)

    def receiving(self, offset):
        """The step that received a byte."""
        return next((s for s in self.steps if "received" in s and s["received"][0] <= offset < s["received"][1]), None)

    def sleeps(self, start, end):
        """Its sleeps between sending the first and the last byte of a range."""
        inside, found = False, []
        for step in self.steps:
            if "sent" in step:
                a, b = step["sent"]
                inside = start < b < end or (a < end and b > start and b < end)
            elif inside and step["step"].startswith("sleep"):
                found.append((step["start_ns"], step["end_ns"]))
        return found

    def find(self, name):
        return next((s for s in self.steps if s["step"].split(":")[0] == name), None)

    def start_of(self, name):
        return (self.find(name) or {}).get("start_ns")

    def end_of(self, name):
        return (self.find(name) or {}).get("end_ns")

    def failed_receiving(self):
        return next((s for s in self.steps if "received" in s and "error" in s), None)


class ConnectionFacts:
    """All that the logs say of one connection."""

    def __init__(self, scenario, connection, logs, packets):
        self.scenario, self.connection = scenario, connection
        self.packets = packets
        one_way = int(scenario.rtt_ms * NS_PER_MS / 2)
        self.rtt = 2 * one_way
        self.streams = {d: Stream(packets, d, one_way) for d in DIRS}
        self.programs = {role: Program(logs[role]) for role in ("client", "server")}
        # A conversation of small segments shows no full one.
        self.mss = {d: max([p.len for p in self.streams[d].data] + [scenario.full_segment(SENDER[d])]) for d in DIRS}
        self.begin("client")

    def begin(self, vantage):
        """What follows is for a capture taken there."""
        self.vantage = vantage
        self.between = {}  # cause: (least, most), where it is a matter of words
        self.in_other_words = []  # (cause, what else it may be called, how much of it)
        self.on_the_way = 0
        self.late_to_show = {"network.loss": 0, "network.mtu": 0}

    def as_it_shows(self, stream, lost, hole):
        """The hole that a capture shows: what was lost before it got there is missed only when later data pass."""
        if lost.at(self.vantage):
            return hole
        later = min((q.near for q in stream.data if q.offset >= lost.end and q.near > lost.near and q.at(self.vantage)),
                    default=lost.near)
        return (min(max(hole[0], later + stream.transit), hole[1]), hole[1])

    def side(self, direction, start, end, gave_up):
        """(the ledger of one direction's transfer, when it was complete): what kept the sender or the data back.

        gave_up: when the client did, if it did."""
        stream, program = self.streams[direction], self.programs[SENDER[direction]]
        sender, receiver = SENDER[direction], SENDER[OTHER[direction]]
        first, complete = stream.first_sent(start), stream.complete(end)
        ended = complete or gave_up
        if first is None or ended is None:
            return {}, complete
        span = (first.near, ended - stream.transit)  # in the sender's time
        given = program.given(start, end)
        lost = [(p, hole) for p, hole in stream.holes if p.offset < end and p.end > start]
        holes = [(p.lost, hole) for p, hole in lost]
        shown = clip(union(shift([self.as_it_shows(stream, p, hole) for p, hole in lost], -stream.transit)), *span)
        mtu, loss = (clip(union(shift([hole for why, hole in holes if (why == "mtu") == is_mtu], -stream.transit)), *span)
                     for is_mtu in (True, False))
        loss = subtract(loss, mtu)
        self.late_to_show["network.loss"] += length(subtract(loss, shown))
        self.late_to_show["network.mtu"] += length(subtract(mtu, shown))
        window = subtract(clip(stream.window_limited(given, self.mss[direction]), *span), union(loss + mtu))
        asleep = [piece for a, b in union(program.sleeps(start, end)) for piece in clip(stream.nothing_to_send(given), a, b)]
        pause = subtract(clip(asleep, *span), union(loss + mtu + window))
        held = subtract(clip(stream.held_by_delayed_acks(given), *span), union(loss + mtu + window + pause))
        ledger = {f"{sender}.pause": length(pause), f"{receiver}.window": length(window),
                  f"{receiver}.delayed_ack": length(held), "network.loss": length(loss), "network.mtu": length(mtu)}
        ledger["network.transfer"] = max(0, span[1] - span[0] - sum(ledger.values()))
        # While its last bytes were still being acknowledged, it was the network's time too, in other words.
        on_the_way = length(subtract(pause, union(stream.all_acked())))
        if on_the_way > 0:
            self.between[f"{sender}.pause"] = (length(pause) - on_the_way, length(pause))
            # And the receiver's, if it kept that ACK back: no capture tells when a program wrote what went with the ACK.
            self.between[f"{receiver}.delayed_ack"] = (length(held), length(held) + on_the_way)
            self.on_the_way += on_the_way
            self.in_other_words.append((f"{sender}.pause", f"{receiver}.delayed_ack", on_the_way))
        # A window that is full because a bottleneck holds all of it: a larger one would wait there.
        in_queue = length(window) - length(subtract(window, stream.queued()))
        if in_queue > 0:
            self.between[f"{receiver}.window"] = (length(window) - in_queue, length(window))
            self.on_the_way += in_queue
            self.in_other_words.append((f"{receiver}.window", "network.transfer", in_queue))
        return ledger, complete

    def request(self, transaction):
        """(start, total as the client's log has it, ledger) of a request or a greeting."""
        (a, b), (c, d) = transaction.request, transaction.response
        client, server = self.programs["client"], self.programs["server"]
        ledger = {}
        failed = client.failed_receiving()
        gave_up = failed["end_ns"] if failed else None
        if b > a:
            ledger, complete = self.side("c2s", a, b, gave_up)
            began, reading = client.send_start(a), server.receiving(b - 1)
            # The program had it when its read returned; when it was busy elsewhere, its kernel had it before.
            ready = reading["last_ns"] if reading and complete and reading["start_ns"] <= complete else complete
        else:
            began, ready = client.end_of("connect"), server.end_of("accept")
        if began is None:
            raise TruthError(f"the client never began its {transaction.kind}")
        if d > c:
            back, _ = self.side("s2c", c, d, gave_up)
            for cause, ns in back.items():
                ledger[cause] = ledger.get(cause, 0) + ns
            spoke = server.send_start(c) or server.start_of("reset")
            if ready and spoke:
                ledger["server.think"] = max(0, spoke - ready)
        received = client.receiving(d - 1) if d > c else None
        ended = received["last_ns"] if received else gave_up
        if ended is None or d == c:
            return began, None, ledger
        ledger["network.rtt"] = self.rtt
        return began, ended - began, ledger

    def connect(self):
        """(start, total, ledger) of the handshake."""
        step = self.programs["client"].find("connect")
        if step is None:
            raise TruthError("the client never connected")
        if "error" in step:
            return step["start_ns"], None, {}  # when it gave up no capture can tell
        total = step["end_ns"] - step["start_ns"]
        ledger = {"network.rtt": self.rtt}
        waited = max(0, total - self.rtt)
        syns = [p for p in self.packets if p.flags & SYN]
        answered = min((p.near for p in syns if p.dir == "s2c"), default=None)
        arrived = min((p.far for p in syns if p.dir == "c2s" and p.far), default=None)
        if any(p.lost for p in syns):
            ledger["network.connect"] = waited
        elif answered and arrived and answered - arrived > REACTION_NS:
            ledger["server.connect"] = waited
        return step["start_ns"], total, ledger

    def close(self):
        """(start, total, ledger) of the first FIN until its ACK; None: there was none, or it was never acknowledged."""
        fins = sorted((p for p in self.packets if p.flags & FIN and p.near), key=lambda p: p.near)
        if not fins:
            return None
        first = fins[0]
        arrived = min((p.far for p in fins if p.dir == first.dir and p.far), default=None)
        acks = [p for p in self.packets if p.dir != first.dir and p.flags & ACK and p.ack > first.end and arrived]
        answered = min((p.near for p in acks if p.near >= arrived), default=None)
        heard = min((p.far for p in acks if p.far and p.near >= arrived), default=None)
        if heard is None:
            return None
        one_way = self.rtt // 2
        lost = (arrived - first.near - one_way if first.lost else 0) + (heard - answered - one_way)
        return first.near, heard - first.near, {"network.rtt": self.rtt, "network.loss": max(0, lost)}

    def lost_of(self, transaction):
        """(what was lost, how long it was missing, its stream)."""
        found = []
        for direction, span in (("c2s", transaction.request), ("s2c", transaction.response)):
            stream = self.streams[direction]
            found += [(p, hole[1] - hole[0], stream) for p, hole in stream.holes if p.offset < span[1] and p.end > span[0]]
        return found

    def is_loss_visible(self, transaction, vantage):
        """A loss shows where the lost copy was seen, or where later data passed before the copy that arrived."""
        visible = hidden = 0
        if transaction.kind == "connect":
            syns = [p for p in self.packets if p.flags & SYN and p.at(vantage)]
            return sum(p.dir == "c2s" for p in syns) > 1 or any(p.lost for p in syns)
        for p, ns, stream in self.lost_of(transaction):
            copy = min((q.at(vantage) for q in stream.data if q.offset < p.end and q.end > p.offset and q.far), default=0)
            passed = any(q.offset >= p.end and p.near < q.at(vantage) < copy for q in stream.data if q.at(vantage))
            if p.at(vantage) or passed:
                visible += ns
            else:
                hidden += ns
        return visible >= hidden

    def is_copy_told_from_loss(self, transaction, vantage):
        """Whether it can be known that a copy was in vain: a receiver that says nothing until a second copy comes, as its
        ACK is delayed for longer than the sender's timer, looks as one that had only that. At the receiver both are seen
        to arrive, timestamps tell, and so does a habit."""
        for direction, span in (("c2s", transaction.request), ("s2c", transaction.response)):
            stream = self.streams[direction]
            in_vain = [p for p in stream.data if p.far and any(
                q.far and 0 < q.near - p.near <= DELAYED_ACK_MOST_NS and q.offset <= p.offset and q.end >= p.end and
                not any(a.ack >= p.end and a.near < q.far for a in stream.acks) for q in stream.data)]
            here = [p for p in in_vain if p.offset < span[1] and p.end > span[0]]
            if here and len(in_vain) < HABIT and vantage != SENDER[OTHER[direction]] and not self.scenario.has_timestamps():
                return False
        return True

    def frames(self, transaction, vantage):
        """Evidence: the request's first and last frame, the first that acknowledges it, the answer's first and last."""
        evidence = {}
        for key, direction, span in (("request", "c2s", transaction.request), ("response", "s2c", transaction.response)):
            numbers = [p.frame(vantage) for p in self.streams[direction].data
                       if p.offset < span[1] and p.end > span[0] and p.frame(vantage)]
            if numbers:
                evidence[key] = [min(numbers), max(numbers)]
        start, end = transaction.request
        if end > start:
            acked = [p.frame(vantage) for p in self.streams["s2c"].sent
                     if p.flags & ACK and p.ack >= end and p.frame(vantage)]
            if acked:
                evidence["acked"] = min(acked)
        return evidence


def judge(total, ledger, slow_ns):
    """(party, cause, other defensible causes): the party with the largest share of what exceeds a normal answer."""
    excess = {cause: ns for cause, ns in ledger.items() if cause != "network.rtt" and ns > 0}
    parties = {}
    for cause, ns in excess.items():
        party = cause.split(".")[0]
        parties[party] = parties.get(party, 0) + ns
    if total is None or not parties:
        return "none", "none", ["network.rtt"]
    party = max(parties, key=parties.get)
    own = {cause: ns for cause, ns in excess.items() if cause.startswith(party)}
    cause = max(own, key=own.get)
    near = [c for c, ns in excess.items() if c != cause and
            (ns >= CLOSE_CALL_WITHIN_PARTY * own[cause] if c in own else
             parties[c.split(".")[0]] >= CLOSE_CALL * parties[party])]
    if total < slow_ns:
        return "none", "none", [cause] + near if total > 0.9 * slow_ns else []
    if sum(excess.values()) < max(50 * NS_PER_MS, 0.2 * total):
        return "none", "none", [cause, "network.rtt"] + near
    if total < 1.1 * slow_ns or cause == "network.transfer":
        near.append("none")
    return party, cause, near


def is_knowable(facts, transaction, cause, vantage):
    """Whether what caused it passed this vantage point, or left a trace there."""
    if cause in ("network.loss", "network.connect", "network.mtu"):
        return facts.is_loss_visible(transaction, vantage)
    return transaction.kind == "connect" or facts.is_copy_told_from_loss(transaction, vantage)


def disguises(facts, transaction, cause, vantage):
    """What else it looks like from this vantage point."""
    if cause == "server.connect" and vantage != "server":  # a SYN that the server dropped was lost to others
        return ["network.connect"]
    if cause == "network.mtu" and not any(p.at(vantage) for p, _, _ in facts.lost_of(transaction)):
        return ["network.loss"]  # how large it was is not known
    return []


def of_transaction(facts, transaction, index, vantage):
    scenario = facts.scenario
    facts.begin(vantage)
    start, total, ledger = facts.connect() if transaction.kind == "connect" else facts.request(transaction)
    party, cause, acceptable = judge(total, ledger, scenario.slow_ms * NS_PER_MS)
    for one, other, ns in facts.in_other_words:
        _, told, near = judge(total, {**ledger, one: ledger[one] - ns, other: ledger[other] + ns}, scenario.slow_ms * NS_PER_MS)
        acceptable += [told] + near
    if transaction.told:
        party, cause = transaction.told
    entry = {"kind": transaction.kind, "index": index, "client_port": facts.connection.client_port, "start_ns": start,
             "total_ms": None if total is None else round(total / NS_PER_MS, 3), "party": party, "cause": cause,
             "ledger_ms": {c: round(ns / NS_PER_MS, 3) for c, ns in sorted(ledger.items()) if ns >= 100_000},
             "knowable": is_knowable(facts, transaction, cause, vantage)}
    for late_cause, late in facts.late_to_show.items():
        if late > 0:
            facts.between[late_cause] = (ledger[late_cause] - late, ledger[late_cause])
    if facts.between:
        transfer = ledger.get("network.transfer", 0)
        facts.between["network.transfer"] = (transfer, transfer + facts.on_the_way + sum(facts.late_to_show.values()))
        entry["between_ms"] = {c: [round(ns / NS_PER_MS, 3) for ns in pair] for c, pair in facts.between.items()}
    acceptable += disguises(facts, transaction, cause, vantage)
    looks_like = {c: found for c in ledger for found in [disguises(facts, transaction, c, vantage)] if found}
    if looks_like:
        entry["looks_like"] = looks_like
    acceptable = [c for c in dict.fromkeys(acceptable + transaction.acceptable) if c != cause]
    if acceptable:
        entry["acceptable"] = acceptable
    if transaction.optional:
        entry["optional"] = True
    if transaction.kind != "connect":
        entry["frames"] = facts.frames(transaction, vantage)
    return entry


def of_close(facts, scenario):
    """A lost FIN is nobody's wait, and told all the same: no verdict of its own is fine."""
    found = facts.close()
    if found is None:
        return []
    start, total, ledger = found
    party, cause, _ = judge(total, ledger, scenario.slow_ms * NS_PER_MS)
    return [{"kind": "close", "index": len(facts.connection.transactions), "client_port": facts.connection.client_port,
             "start_ns": start, "total_ms": round(total / NS_PER_MS, 3), "party": party, "cause": cause, "ledger_ms": {},
             "knowable": False, "acceptable": ["network.rtt"] + ["network.loss"] * (ledger["network.loss"] > 0),
             "optional": True}]


def of_capture(scenario, logs, lines, vantage, capture):
    """The truth file of one capture."""
    packets = [Packet(line) for line in lines if "client_port" in line]
    entries, closes = [], []
    for connection, log in zip(scenario.connections, logs):
        own = [p for p in packets if p.client_port == connection.client_port]
        facts = ConnectionFacts(scenario, connection, log, own)
        for index, transaction in enumerate(connection.transactions):
            entries.append(of_transaction(facts, transaction, index, vantage))
        closes += of_close(facts, scenario)
    if scenario.expect:
        index, cause = scenario.expect
        found = entries[index]
        told = [found["cause"]] + found.get("acceptable", [])
        if cause not in told and not (cause == "network.loss" and "network.transfer" in told):
            raise TruthError(f"was made for {cause}, but the logs say {found['cause']}: {found['ledger_ms']}")
    entries += closes
    return {"capture": capture, "vantage": vantage, "scenario": scenario.name, "seed": scenario.seed,
            "rtt_ms": scenario.rtt_ms, "slow_ms": scenario.slow_ms, "knowable": all(e["knowable"] for e in entries),
            "transactions": entries}
