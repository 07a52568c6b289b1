"""What a capture itself shows, by tshark's fields alone: no word of culprit's.

Where culprit settles a mark otherwise than Wireshark, it names its evidence;
shown() looks for that evidence in the frames. completeness() and initial_rtt()
say from the frames what culprit's definitions of these come to.
"""
import os
import subprocess
import tempfile

FIN, SYN, RST, ACK = 1, 2, 4, 16
FLAGS = ["retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order", "lost_segment",
         "ack_lost_segment", "duplicate_ack", "keep_alive", "keep_alive_ack", "zero_window", "zero_window_probe",
         "zero_window_probe_ack", "window_full", "window_update"]
# What tells connections of the same ends apart: flowify(1).
IDS = ["vlan.id", "ieee8021ah.isid", "pppoe.session_id", "erspan.spanid", "gre.key", "vxlan.vni", "geneve.vni"]
NOT_READ = {"cfp", "ipcomp"}  # Cisco's FabricPath, and what IPComp compresses
IDLE_NS = 7_800_000_000_000  # flowify(1): so long a silence ends a connection, by itself
FIELDS = (["frame.number", "frame.time_epoch", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "ip.id", "ip.len", "ip.hdr_len", "tcp.hdr_len",
           "icmp.type", "icmpv6.type", "tcp.stream", "tcp.seq_raw", "tcp.ack_raw",
           "tcp.srcport", "tcp.dstport", "tcp.seq", "tcp.ack", "tcp.len", "tcp.flags", "tcp.window_size_value",
           "tcp.options.timestamp.tsval", "tcp.options.timestamp.tsecr", "tcp.options.sack_le", "tcp.options.sack_re",
           "tcp.completeness", "tcp.analysis.initial_rtt", "tcp.analysis.duplicate_ack_num",
           "tcp.analysis.reused_ports", "frame.protocols"] + IDS + ["tcp.analysis." + flag for flag in FLAGS])
NO_SEGMENT = "tshark numbers streams without a segment"
COPY_WITHIN_NS = 200_000_000


def nanoseconds(text):
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9])


def number(text):
    return int(text.split(",")[-1], 0) if text else None


class Frame:
    """A frame's innermost segment."""
    def __init__(self, row):
        self.number = int(row["frame.number"])
        self.time = nanoseconds(row["frame.time_epoch"])
        self.quoted = row["icmp.type"] + row["icmpv6.type"] != ""  # by an ICMP error
        self.alone = "," not in row["tcp.stream"] and not self.quoted
        self.said = [int(stream) for stream in row["tcp.stream"].split(",")]
        self.stream = self.said[0]  # until number_streams
        self.within = NOT_READ & set(row["frame.protocols"].split(":"))
        self.ids = tuple(row[name] for name in IDS)
        self.seq_raw, self.ack_raw = number(row["tcp.seq_raw"]), number(row["tcp.ack_raw"])
        self.sender = (row["ip.src"], row["ipv6.src"], row["tcp.srcport"])
        self.receiver = (row["ip.dst"], row["ipv6.dst"], row["tcp.dstport"])
        self.seq, self.flags = number(row["tcp.seq"]), number(row["tcp.flags"]) or 0
        self.ack = number(row["tcp.ack"]) if self.flags & ACK else None
        self.len = number(row["tcp.len"])
        self.ip_id = number(row["ip.id"]) or 0
        lengths = [number(row[name]) for name in ("ip.len", "ip.hdr_len", "tcp.hdr_len")]
        self.len_by_ip = None if None in lengths else lengths[0] - lengths[1] - lengths[2]
        self.window = number(row["tcp.window_size_value"])
        self.tsval, self.tsecr = (number(row["tcp.options.timestamp." + name]) for name in ("tsval", "tsecr"))
        left, right = row["tcp.options.sack_le"], row["tcp.options.sack_re"]
        self.sack = [(int(a), int(b)) for a, b in zip(left.split(","), right.split(","))] if left and right else []
        self.whole = self.seq is not None and self.len is not None
        self.end = self.seq + self.len + bool(self.flags & (SYN | FIN)) if self.whole else None
        self.completeness = number(row["tcp.completeness"])
        rtt = row["tcp.analysis.initial_rtt"]
        self.initial_rtt = nanoseconds(rtt) if rtt else None
        self.duplicate_ack = number(row["tcp.analysis.duplicate_ack_num"])
        self.reused_ports = row["tcp.analysis.reused_ports"] != ""
        self.marks = {flag for flag in FLAGS if row["tcp.analysis." + flag] != ""}

    def packet(self):
        """What a second transmission would not have the same."""
        length = self.len if self.len_by_ip is None else self.len_by_ip
        return (self.stream, self.sender, self.ip_id, self.seq, self.ack, length, self.flags, self.window, self.tsval,
                self.tsecr, tuple(self.sack))


def read(path):
    """What tshark says of each frame with TCP, as rows."""
    command = ["tshark", "-2", "-n", "-r", path, "-Y", "tcp", "-o", "tcp.analyze_sequence_numbers:TRUE",
               "-o", "tcp.relative_sequence_numbers:TRUE", "-T", "fields", "-E", "occurrence=a"]
    for field in FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if b"aren't valid" in done.stderr:
        raise RuntimeError("tshark: %s" % done.stderr.decode(errors="replace"))
    out = done.stdout
    return [dict(zip(FIELDS, line.split("\t"))) for line in out.decode().splitlines()]


def frames_of(rows):
    """The frames, by number; and those to which tshark itself gives no stream."""
    without_stream = {int(row["frame.number"]) for row in rows if row["tcp.stream"] == ""}
    return {frame.number: frame for frame in (Frame(row) for row in rows if row["tcp.stream"] != "")}, without_stream


def read_without(path, left_out):
    """The same without some frames, whose numbers the others keep."""
    everything = subprocess.run(["tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.number"],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    kept = [n for n in (int(line) for line in everything.split()) if n not in left_out]
    with tempfile.TemporaryDirectory() as folder:
        less = os.path.join(folder, "less.pcapng")
        chosen = "not frame.number in {%s}" % ",".join(map(str, sorted(left_out)))
        subprocess.run(["tshark", "-n", "-r", path, "-Y", chosen, "-w", less], stderr=subprocess.DEVNULL, check=True)
        return {kept[n - 1]: frame for n, frame in frames_of(read(less))[0].items()}


class Part:
    """A stream as culprit numbers it."""
    def __init__(self, stream):
        self.stream, self.frames = stream, []

    def answers_another(self, frame):
        """Whether it is a SYN-ACK with another number, for none that its other end used."""
        if frame.flags & (SYN | ACK) != SYN | ACK or frame.ack_raw is None:
            return False
        own = [f for f in self.frames if f.sender == frame.sender]
        back = [f.seq_raw for f in self.frames if f.sender != frame.sender and not f.flags & RST]
        if not own or not back or any((f.seq_raw - frame.seq_raw) % 2**32 <= 65536 for f in own):
            return False
        return not any((frame.ack_raw - seq) % 2**32 <= 65536 for seq in back)


class Capture:
    """Of what read() said. as_tshark: neither ids nor a silence divide connections."""
    def __init__(self, path, rows, as_tshark):
        self.path = path
        self.frames, self.without_stream = frames_of(rows)
        self.why_other = self._number_streams(as_tshark)
        self.copies = self._find_copies()
        self.streams = {}
        for frame in self.frames.values():
            if frame.alone and frame.whole and frame.number not in self.copies:
                self.streams.setdefault(frame.stream, []).append(frame)
        self._without = {}
        self._read_until = None

    def _find_copies(self):
        """
        Frames that are an earlier one again, down to the IP identification (or the
        timestamp, of what has to be acknowledged); and where a quarter of a stream's
        frames are, those without either that come within a millisecond.
        """
        seen, copies, n = {}, set(), {}
        for frame in self.frames.values():
            if not frame.alone or not frame.whole:
                continue
            before = seen.get(frame.packet())
            tells = frame.ip_id != 0 or (frame.tsval is not None and frame.end > frame.seq)
            all_of, again = n.get(frame.stream, (0, 0))
            soon = frame.time - before < COPY_WITHIN_NS if before is not None else False
            if soon and tells:
                copies.add(frame.number)
                again += 1
            elif soon and again * 4 >= all_of and frame.time - before <= 1_000_000:
                copies.add(frame.number)
            n[frame.stream] = (all_of + 1, again)
            seen[frame.packet()] = frame.time
        return copies

    def read_until(self):
        """The last frame that tshark reads: at the first damage it stops."""
        if self._read_until is None:
            out = subprocess.run(["tshark", "-n", "-r", self.path, "-T", "fields", "-e", "frame.number"],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.split()
            self._read_until = int(out[-1]) if out else 0
        return self._read_until

    def _without_syn(self):
        """Streams that tshark begins without a SYN between ends that have one already, and that one."""
        last, of_ends, goes_on = {}, {}, {}
        for frame in self.frames.values():
            if not frame.alone:
                continue
            ends = frozenset([frame.sender, frame.receiver])
            said = frame.said[0]
            if said not in last and of_ends.get(ends, said) != said and not frame.flags & SYN:
                goes_on[said] = goes_on.get(of_ends[ends], of_ends[ends])
            last[said] = of_ends[ends] = said
        return goes_on

    def _number_streams(self, as_tshark):
        """
        Numbers the streams as culprit defines connections; why that is another
        number than tshark's, by culprit's. It counts those that have a segment of
        their own, whole, and not in an ICMP error or as a second TCP within another
        protocol; a SYN-ACK that answers another SYN begins a connection of its own,
        and unless they are ignored other ids and a long silence do.
        """
        parts, why, n = {}, {}, 0
        goes_on = self.goes_on = self._without_syn()
        for frame in self.frames.values():
            place = (goes_on.get(frame.said[0], frame.said[0]), None if as_tshark else frame.ids)
            if frame.quoted or frame.within or not frame.whole or not frame.alone:
                frame.stream = next((part.stream for (said, _), part in parts.items() if said == frame.said[0]), None)
                continue
            part, begins = parts.get(place), None
            if part is None:
                begins = "other VLAN or tunnel ids" if any(said == frame.said[0] for said, _ in parts) else \
                    NO_SEGMENT
            elif not as_tshark and frame.time - part.frames[-1].time > IDLE_NS:
                begins = "a silence longer than the idle timeout"
            elif part.answers_another(frame):
                begins = "a SYN-ACK of a SYN that was not captured"
            if begins is not None:
                part = parts[place] = Part(n)
                why[n] = begins
                n += 1
            frame.stream = part.stream
            part.frames.append(frame)
        return why

    def without(self, name):
        """What tshark says when the copies are taken out; for "reset" the resets, too."""
        if name not in self._without:
            elsewhere = set().union(*map(self._elsewhere, self.streams)) if name == "reset" else set()
            self._without[name] = read_without(self.path, self.copies | elsewhere)
        return self._without[name]

    def _elsewhere(self, stream):
        """
        Resets, and what is of another beginning: SYNs of a sender that sent several
        numbers, but for that which the other end's data acknowledges or its own goes
        on from; and what a sender sent before that, far from it.
        """
        frames = self.streams[stream]
        found = {f.number for f in frames if f.flags & RST}
        for sender in {f.sender for f in frames}:
            own = [f for f in frames if f.sender == sender and not f.flags & RST]
            syns = [f for f in own if f.flags & SYN]
            if not syns:
                continue
            said = [f.ack_raw for f in frames if f.sender != sender and f.ack is not None and not f.flags & (SYN | RST)]
            said += [f.seq_raw for f in own if f.number > syns[0].number and not f.flags & SYN]
            holds = next((f for f in syns if any((n - f.seq_raw) % 2**32 == 1 for n in said)), syns[-1])
            first = next(f for f in syns if f.seq_raw == holds.seq_raw)
            found |= {f.number for f in syns if f.seq_raw != holds.seq_raw}
            found |= {f.number for f in own if f.number < first.number and not f.flags & SYN and
                      not 0 <= (f.seq_raw - holds.seq_raw) % 2**32 <= 65535}
        return found

    def completeness(self, stream):
        bits = 0
        for frame in self.frames.values():
            if frame.stream != stream or not frame.alone:
                continue
            syn, ack = frame.flags & SYN, frame.flags & ACK
            bits |= (2 if ack else 1) if syn else 4 if ack and not frame.len else 0
            bits |= (8 if frame.len else 0) | (16 if frame.flags & FIN else 0) | (32 if frame.flags & RST else 0)
        return bits

    def initial_rtt(self, stream):
        """From the last SYN, or the one a SYN-ACK echoes, to its sender's next ACK that goes on from it."""
        syn, syns = None, []
        for frame in self.streams.get(stream, []):
            if frame.flags & SYN and not frame.flags & ACK:
                syn = frame
                syns.append(frame)
            elif frame.flags & SYN:
                syn = next((s for s in reversed(syns) if s.tsval is not None and s.tsval == frame.tsecr), syn)
            elif syn and frame.flags & ACK and not frame.flags & RST and frame.sender == syn.sender and \
                    frame.seq in (syn.seq + 1, syn.end):
                return frame.time - syn.time or None  # clocks with too few digits tell nothing
        return None

    def begins_twice(self, stream):
        """Whether a sender's own numbers begin at several places: SYNs, a reset, or a segment before its SYN."""
        return bool(self._elsewhere(stream))

    def acks_without_flag(self, stream):
        """
        Whether a segment without the ACK flag has a number in that field, which tshark
        takes for one; 0, when another segment does acknowledge 0.
        """
        frames = [f for f in self.streams.get(stream, []) if not f.flags & RST]
        said = {f.ack_raw for f in frames if f.ack is not None}
        return any(f.ack is None and (f.ack_raw or f.ack_raw in said) for f in frames)

    def is_new(self, frame):
        """Whether tshark begins another stream of the same ends with it."""
        ends = {f.sender for f in self.frames.values() if f.said == frame.said}
        return not any(f.said == frame.said and f.number < frame.number for f in self.frames.values()) and \
            any(f.sender in ends and f.said != frame.said for f in self.frames.values() if f.number < frame.number)

    def _around(self, frame):
        """(own direction before, other direction before, other direction after), copies left out."""
        stream = self.streams[frame.stream]
        at = stream.index(frame)
        own = [f for f in stream[:at] if f.sender == frame.sender]
        back = [f for f in stream[:at] if f.sender != frame.sender and f.ack is not None]
        later = [f for f in stream[at + 1:] if f.sender != frame.sender and f.ack is not None]
        return own, back, later

    def _passed_before(self, frame):
        """Bytes that passed before are sent again; one that was only overtaken has none such."""
        return any(old.seq < frame.end and frame.seq < old.end for old in self._around(frame)[0])

    def _sent_after_what_showed_it(self, frame, by):
        """Whether it was sent after the first segment that was beyond it; None when that cannot be told."""
        beyond = next((f for f in self._around(frame)[0] if f.seq > frame.seq), None)
        if beyond is None:
            return None
        if by == "ip_id":
            step = (frame.ip_id - beyond.ip_id) % 2**16
            return None if step == 0 or 4096 <= step <= 2**16 - 4096 else step < 2**15
        if by == "timestamps":
            same = frame.tsval is None or beyond.tsval is None or frame.tsval == beyond.tsval
            return None if same else (frame.tsval - beyond.tsval) % 2**32 < 2**31
        rtt = next((f.initial_rtt for f in self.frames.values() if f.stream == frame.stream and f.initial_rtt), None)
        waited = frame.time - beyond.time
        rtt = self._receiver_rtt(frame) if rtt is None else rtt
        return waited >= max((rtt or 0) * 3 // 4, 3_000_000)

    def _receiver_rtt(self, frame):
        """The least time from a segment of this direction, sent once, to its ACK."""
        own = [f for f in self.streams[frame.stream] if f.sender == frame.sender and f.end > f.seq]
        once = [f for f in own if not any(g is not f and g.seq < f.end and f.seq < g.end for g in own)]
        back = [f for f in self.streams[frame.stream] if f.sender != frame.sender and f.ack is not None]
        times = (next((b.time - f.time for b in back if b.time >= f.time and b.ack >= f.end), None) for f in once)
        return min((t for t in times if t is not None), default=None)

    def _needless(self, frame):
        """Whether the receiver had its bytes already."""
        _, back, later = self._around(frame)
        if any(f.ack >= frame.end or any(a <= frame.seq and frame.end <= b for a, b in f.sack) for f in back):
            return True
        for f in later:
            if f.sack and f.ack >= frame.end:
                (left, right), inner = f.sack[0], f.sack[1:2]
                again = right <= f.ack or any(a <= left and right <= b for a, b in inner)
                if again and left < frame.end and frame.seq < right:
                    return True
        answers = [f for f in later if f.ack >= frame.end][:2]
        if not answers:
            return False
        answer = answers[0]
        if len(answers) == 2 and {f.ack for f in answers} == {frame.end} and not any(f.len or f.sack for f in answers) \
                and answers[1].duplicate_ack == 1:
            return True  # each copy had its answer
        if answer.tsecr and frame.tsval is not None and (answer.tsecr - frame.tsval) % 2**32 > 2**31:
            return True
        rtt = self._receiver_rtt(frame)
        return rtt is not None and answer.time - frame.time < rtt * 3 // 4

    def _order_shown(self, frame, settled_by, resent):
        """What shows that a segment was sent again, or was not; None when nothing does."""
        if resent and "earlier_segment" in settled_by and self._passed_before(frame):
            return "earlier_segment"
        by = (by for by in ("ip_id", "timestamps", "round_trip") if by in settled_by)
        return next((one for one in by if self._sent_after_what_showed_it(frame, one) == resent), None)

    def _acks_show(self, frame, kind):
        """Whether the ACKs before it lack what the mark takes them to say, or it answers a probe by taking its byte."""
        back = self._around(frame)[1]
        if kind == "spurious_retransmission":
            return bool(frame.flags & FIN) and all(f.ack < frame.end for f in back)
        if kind == "fast_retransmission":
            return not any(f.duplicate_ack and f.duplicate_ack >= 2 and f.ack == frame.seq for f in back)
        probed = any(f.len == 1 and f.end == frame.ack for f in self.streams[frame.stream])
        return kind == "zero_window_probe_ack" and frame.window == 0 and probed

    def _behind_its_ack(self, frame, ack):
        """Whether a segment's bytes were captured within a millisecond behind an ACK of them, and never before."""
        return frame.len and ack.ack is not None and ack.ack >= frame.end and frame.sender != ack.sender and \
            0 <= frame.time - ack.time < 1_000_000 and not self._passed_before(frame)

    def _disorder(self, frame, removed):
        """What shows that a segment and its ACK were captured in the wrong order; None when nothing does."""
        stream = self.streams[frame.stream]
        at = stream.index(frame)
        if removed == {"ack_lost_segment"}:
            return "behind its ACK" if any(self._behind_its_ack(f, frame) for f in stream[at + 1:at + 64]) else None
        return "behind its ACK" if any(self._behind_its_ack(frame, f) for f in stream[max(at - 64, 0):at]) else None

    def _carried_on(self, seg, ours):
        """Whether tshark has the same marks once copies, or resets too, are taken out of what it reads."""
        for name in ("copy", "reset"):
            if name == "reset" and name in seg.get("settled_by", []) and seg["frame"] in self._elsewhere(seg["stream"]):
                return name
            if name in seg.get("settled_by", []):
                other = self.without(name).get(seg["frame"])
                if other and other.marks == ours and other.duplicate_ack == seg.get("duplicate_ack"):
                    return name
        return None

    def shown(self, seg):
        """The class of evidence that shows culprit's marks to be right where Wireshark's differ; None without."""
        settled_by, alike = seg.get("settled_by", []), seg["wireshark"]
        frame = self.frames[seg["frame"]]
        if "duplicate_frame" in seg["marks"]:
            return "mirror copy" if frame.number in self.copies else None
        ours = set(seg["marks"]) & set(FLAGS)
        carried_on = self._carried_on(seg, ours)
        if carried_on or seg.get("duplicate_ack") != alike.get("duplicate_ack"):
            return carried_on
        changed, found = ours ^ set(alike["marks"]), set()
        if changed in ({"ack_lost_segment"}, {"retransmission", "spurious_retransmission"}) and not changed & ours:
            return self._disorder(frame, changed)
        if changed & {"retransmission", "out_of_order"} and "spurious_retransmission" not in changed - ours:
            found.add(self._order_shown(frame, settled_by, "retransmission" in ours))
        if "spurious_retransmission" in changed & ours:
            found.add("later_segment" if "later_segment" in settled_by and self._needless(frame) else None)
        elif "retransmission" not in changed - ours and \
                changed & {"fast_retransmission", "spurious_retransmission", "zero_window_probe_ack"}:
            kind = (changed & {"fast_retransmission", "spurious_retransmission", "zero_window_probe_ack"}).pop()
            found.add("acks" if "acks" in settled_by and self._acks_show(frame, kind) else None)
        others = {"lost_segment", "ack_lost_segment", "duplicate_ack", "keep_alive", "keep_alive_ack", "zero_window",
                  "zero_window_probe", "window_full", "window_update"}
        return None if changed & others or None in found or not found else ", ".join(sorted(found))
