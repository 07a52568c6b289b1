#!/usr/bin/env python3
"""Makes the first inputs of the fuzz targets, in tests/corpus/, from samples/ and the rules: seed.py build/release"""
import importlib.machinery
import importlib.util
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
CORPUS = TOP / "tests" / "corpus"
SMALL = ("request-lost", "server-thinks", "reference", "syn-lost")
RULES_CAP = 4096  # bytes of a rules file that is a seed
HEADER, BLOCK = 20, 20  # bytes of a stream's header and of a block's, flowrec(5)
ZSTD, COLUMNS = 1, 2  # flags of a block


def put(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def blocks(stream):
    """(flags, raw length, stored bytes) of each block of records."""
    at = HEADER + struct.unpack_from("<I", stream, 12)[0]
    while at < len(stream) and stream[at] == 1:
        raw, stored = struct.unpack_from("<II", stream, at + 8)
        yield stream[at + 1], raw, stream[at + BLOCK:at + BLOCK + stored]
        at += BLOCK + stored


def records(stream):
    """The records of a stream without compression, as fuzz_records takes them."""
    found = b""
    for _, _, block in blocks(stream):
        place = 0
        while place < len(block):
            kind, place = varint(block, place)
            length, place = varint(block, place)
            found += bytes([kind]) + struct.pack("<H", length) + block[place:place + length]
            place += length
    return found


def frames(capture):
    """(link type, captured bytes, bytes on the wire) of a little-endian pcap."""
    link, at = struct.unpack_from("<H", capture, 20)[0], 24
    while at < len(capture):
        captured, length = struct.unpack_from("<II", capture, at + 8)
        yield link, capture[at + 16:at + 16 + captured], length
        at += 16 + captured


def encapsulated():
    """(name, link type, frame) of a segment in each link layer and tunnel that flowify's page names."""
    loader = importlib.machinery.SourceFileLoader("check_reads", str(TOP / "tests" / "cli" / "bin" / "check-reads"))
    reads = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(reads)
    for row, variants in reads.LAYERS.items():
        for number, (link, layers) in enumerate(variants):
            name = re.sub("[^a-z0-9]+", "-", row.lower())
            yield f"{name}.{number}", link, reads.frame(layers, reads.TALK[3], "0064")


def compressed(capture):
    """(name, input) of fuzz_compressed, see its plan: zstd in one frame, in many, damaged, cut; the other formats; from pipes."""
    for name, flags, frame, at, damage in (("one", 2, 0, 0, 0), ("many", 5, 700, 0, 0), ("damaged", 2, 300, 500, 1), ("cut", 11, 300, 500, 1)):
        yield f"zstd-{name}", struct.pack("<BBHHB", 0, flags, frame, at, damage) + capture
    for number, (program, magic) in enumerate((("gzip", 3), ("xz", 6), ("lz4", 4), ("bzip2", 3)), 1):
        stored = subprocess.run([program, "-c"], input=capture, capture_output=True, check=True).stdout
        for flags, damage in ((0, 0), (1, 0), (9, 1)):
            yield f"{program}-{flags}", struct.pack("<BBHHB", number, flags, 0, 200, damage) + stored[magic:]


def as_pcapng(build, capture):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([build / "libexec" / "culprit" / "split", "-q", "-n", "1", "-o", f"{folder}/%n.pcapng"], input=capture, check=True)
        return next(pathlib.Path(folder).iterdir()).read_bytes()


def dictionary(build):
    """The words of rules: fields, keys, and what conditions are made of, in the files that come with culprit and in the tests."""
    fields = subprocess.run([build / "libexec" / "culprit" / "classify", "--fields"], capture_output=True, text=True, check=True).stdout
    words = {line.split()[0] for line in fields.splitlines() if line}
    for path in [*TOP.glob("rules/**/*.yaml"), *TOP.glob("tests/unit/rules/*.yaml")]:
        text = path.read_bytes().decode("ascii", "ignore")
        words.update(key + ": " for key in re.findall(r"^[ -]*([a-z_]+):", text, re.M))
        for condition in re.findall(r"condition: (.*)", text):
            words.update(re.findall(r"[a-z_.]+|[0-9.]+[A-Za-z%/]*|[<>=!]=|[^\sa-z0-9]", condition))
    words = [word for word in sorted(words) if word.isprintable() and '"' not in word and "\\" not in word]
    return "".join(f'"{word}"\n' for word in [*words, "\\x0a- ", "\\x0a  "])


def main():
    build = pathlib.Path(sys.argv[1]).resolve()

    def stage(name, data, *options):
        command = [build / "libexec" / "culprit" / name, *(options or ["--no-compress"])]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    for name in SMALL:
        capture = (TOP / "samples" / f"{name}.pcap").read_bytes()
        flows = stage("flowify", capture)
        judged = stage("classify", stage("analyze", flows))
        for target in ("capture", "pipeline"):
            put(target, f"{name}.pcap", capture)
            put(target, f"{name}.pcapng", as_pcapng(build, capture))
            put(target, f"{name}.pcap.zst", subprocess.run(["zstd", "-q"], input=capture, capture_output=True, check=True).stdout)
        for number, (link, data, length) in enumerate(frames(capture)):
            if number < 4:
                put("packet", f"{name}.{number}", struct.pack("<HH", link, length - len(data)) + data)
        for suffix, stream in ((".flows", flows), (".judged", judged)):
            put("flowrec", name + suffix, stream)
            put("records", name + suffix, records(stream))
            put("columns", name + suffix, b"\0" + next(blocks(stream))[2])
        packed = stage("analyze", flows, "-q")
        put("flowrec", name + ".packed", packed)
        for flags, raw, stored in blocks(packed):
            if flags == ZSTD | COLUMNS:
                columns = subprocess.run(["zstd", "-dcq"], input=stored, capture_output=True, check=True).stdout
                put("columns", f"{name}.columns", b"\1" + struct.pack("<I", raw) + columns)
    for name, link, data in encapsulated():
        put("packet", name, struct.pack("<HH", link, 0) + data)
    # Two streams of one connection, as of rotated captures; and a client that is refused by silence, again and again.
    reference = (TOP / "samples" / "reference.pcap").read_bytes()
    at = 24 + sum(16 + len(data) for _, data, _ in list(frames(reference))[:6])
    halves = [stage("flowify", reference[:at]), stage("flowify", reference[:24] + reference[at:])]
    put("records", "rotated.flows", b"\0".join(records(half) for half in halves))
    put("flowrec", "rotated.flows", b"".join(halves))
    attack = subprocess.run([build / "tests" / "bench" / "hostile", "reuse", "40"], capture_output=True, check=True).stdout
    put("records", "findings.judged", records(stage("classify", stage("analyze", stage("flowify", attack)))))
    for name, data in compressed((TOP / "samples" / f"{SMALL[0]}.pcap").read_bytes()):
        put("compressed", name, data)
    (TOP / "tests" / "fuzz" / "rules.dict").write_text(dictionary(build))
    for path in [*TOP.glob("rules/**/*.yaml"), *TOP.glob("tests/unit/rules/*.yaml")]:
        data = path.read_bytes()
        if len(data) <= RULES_CAP and b"include" not in data:
            put("rules", path.name if "unit" in path.parts else f"{path.parent.name}-{path.name}", data)


if __name__ == "__main__":
    main()
