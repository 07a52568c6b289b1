"""tcptrace's rules, and culprit's, over the same segments.

Tcptrace follows rexmit.c and trace.c of tcptrace 6.6.7, so that a figure that
differs from culprit's can be traced to the segments that both count, and to
the rule by which they count them differently.
"""

QUAD = 1 << 30
MOD = 1 << 32


class Range:
    """What tcptrace remembers of a segment (its struct segment)."""

    __slots__ = ("first", "last", "time", "acked", "retrans")

    def __init__(self, first, last, time):
        self.first, self.last, self.time = first, last, time
        self.acked, self.retrans = 0, 0


class Space:
    """A direction's sequence space (struct seqspace): four quadrants, the opposite one forgotten."""

    def __init__(self):
        self.quads = {}

    def visit(self, seq):
        quad = seq // QUAD
        self.quads.setdefault(quad, [])
        if not ((quad + 1) % 4 in self.quads and (quad + 3) % 4 in self.quads):
            self.quads.setdefault((quad + 1) % 4, [])
            self.quads.setdefault((quad + 3) % 4, [])
            self.quads.pop((quad + 2) % 4, None)
        return quad

    def add(self, seq, length, time):
        """rexmit(): bytes sent before, and whether it is out of order."""
        last = (seq + length - 1) % MOD
        quad = self.visit(seq)
        if quad == last // QUAD:
            return self.add_to(self.quads[quad], seq, last, time)
        first_last = (quad + 1) * QUAD - 1
        again, out = self.add_to(self.quads[quad], seq, first_last, time)
        more, out2 = self.add_to(self.quads.setdefault(last // QUAD, []), last // QUAD * QUAD, last, time)
        return again + more, out or out2

    @staticmethod
    def add_to(ranges, first, last, time):
        """addseg()."""
        again, out, split = 0, False, False
        i = len(ranges) if ranges and first > ranges[-1].last else 0
        while i < len(ranges):
            old = ranges[i]
            if first > old.last:
                i += 1
                continue
            if first < old.first:
                if last < old.last:
                    out = True
                new = Range(first, last, time)
                ranges.insert(i, new)
                i += 1
                if last < old.first:
                    return again, out
                new.last = old.first - 1
                first = old.first
            old.retrans += 1
            if not split:
                old.time = time
            if last <= old.last:
                return again + last - first + 1, out
            split = True
            again += old.last - first + 1
            first = old.last + 1
            i += 1
        ranges.append(Range(first, last, time))
        return again, out

    def ack(self, ack):
        """ack_in(): for each range that ack covers anew, (its last byte, when it was sent or None, why none)."""
        quad = self.visit(ack)
        before = self.quads.get((quad + 3) % 4, [])
        changed = [r for r in before if not r.acked]
        for r in changed:
            r.acked = 1
        if changed:
            self.collapse(before)
        ranges = self.quads[quad]
        newest, found = None, []
        for r in ranges:
            if ack <= r.first:
                break
            newest = r.time if newest is None or r.time > newest else newest
            if r.acked:
                continue
            r.acked = 1
            if ack != r.last + 1:
                found.append((r.last, None, "inside"))
            elif newest > r.time:
                found.append((r.last, None, "later"))
            elif r.retrans:
                found.append((r.last, None, "twice"))
            else:
                found.append((r.last, r.time, None))
        if found:
            self.collapse(ranges)
        return found

    @staticmethod
    def collapse(ranges):
        i = 0
        while i + 1 < len(ranges) and ranges[i].acked:
            a, b = ranges[i], ranges[i + 1]
            if b.acked and a.last + 1 == b.first:
                a.last, a.acked, a.time = b.last, b.acked, max(a.time, b.time)
                del ranges[i + 1]
            else:
                i += 1


class Side:
    def __init__(self):
        self.space = Space()
        self.packets = self.unique = self.rexmit = self.rexmit_bytes = self.out_of_order = 0
        self.rtt = []
        self.syns = self.fins = 0
        self.window_last = 0  # until one is advertised, which a RST does not
        self.windows, self.window_packets, self.scaled_started = [], 0, False
        self.asked_scale = False

    def rtt_min(self):
        least = 0
        for rtt in self.rtt:
            least = rtt if least == 0 or rtt < least else least
        return least


class Tcptrace:
    """A connection as tcptrace counts it. Segments as `report --segments --format json` has them."""

    def __init__(self, isn, scale_asked, server_scale):
        """server_scale: how far the server's windows are shifted although only its SYN was seen."""
        self.isn, self.server_scale = isn, server_scale
        self.side = {"c2s": Side(), "s2c": Side()}
        for name, side in self.side.items():
            side.asked_scale = scale_asked[name]

    def add(self, seg):
        this = self.side[seg["direction"]]
        other = self.side["s2c" if seg["direction"] == "c2s" else "c2s"]
        name = seg["direction"]
        back = "s2c" if name == "c2s" else "c2s"
        flags, time = seg["flags"], seg["micros"]
        syn, fin = "SYN" in flags, "FIN" in flags
        scaled = this.asked_scale and other.asked_scale
        sent = seg["window"] >> (self.server_scale if name == "s2c" and not syn else 0)
        window = sent if "ACK" in flags or syn else 0
        length = seg["bytes"] + syn + fin
        this.syns += syn
        this.fins += fin
        this.packets += 1
        this.window_packets += this.scaled_started
        again = 0
        counted = {"rexmit": 0, "bytes": 0, "out": 0}
        if length > 0:
            probe = other.window_last == 0 and other.packets > 0 and not syn
            if not probe:
                seq = (self.isn[name] + seg["seq"]) % MOD
                again, out = this.space.add(seq, length, time)
                this.out_of_order += out
                counted["out"] = int(out)
                unique = seg["bytes"]
                repeat = again - (syn and this.syns > 1) - (fin and this.fins > 1)
                if repeat < unique:
                    this.unique += unique - repeat
        samples = []
        if "ACK" in flags:
            samples = other.space.ack((self.isn[back] + seg["ack"]) % MOD)
            other.rtt += [time - sent for _, sent, _ in samples if sent is not None]
        if again > 0:
            this.rexmit += 1
            this.rexmit_bytes += again
            counted["rexmit"], counted["bytes"] = 1, again
        if "RST" not in flags:
            this.window_last = window
            if "ACK" in flags or syn:
                if window > 0 and scaled and not syn and not this.scaled_started:
                    this.scaled_started = True
                    this.windows, this.window_packets = [], 1
                this.windows.append(window)
        return counted, samples

    def window(self, name):
        """Largest, least but zero, mean."""
        side = self.side[name]
        both = all(s.scaled_started for s in self.side.values())
        positive = [w for w in side.windows if w > 0]
        packets = side.window_packets if both else side.packets
        return (max(side.windows, default=0), min(positive, default=0),
                sum(side.windows) // packets if packets else 0)
