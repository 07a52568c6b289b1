#!/usr/bin/env python3
"""Makes the samples: small captures with their truth and what is to be said of each (root; the reference takes 108 s)."""
import argparse
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SNAPLEN = 128

# name: (scenario, seed, vantage point, what is true)
SAMPLES = {
    "server-thinks": ("server-thinks", 3, "client", "The server has the request and is silent for long before its answer."),
    "server-pauses": ("server-pauses", 1, "middle", "The server stops in mid-answer, everything sent being acknowledged."),
    "request-lost": ("request-lost", 5, "middle", "The request is lost behind the middle, and so seen twice here."),
    "syn-lost": ("syn-lost", 1, "client", "The SYN is lost; a later one is answered."),
    "lossy-download": ("lossy-download", 6, "client", "Segments of the answer are lost on the way here: holes that fill late."),
    "client-window": ("client-window", 1, "server", "The client's program stops reading; its window closes while the server has "
                      "more."),
    "client-pauses": ("client-pauses", 1, "middle", "The client stops in the middle of its upload."),
    "all-fast": ("all-fast", 1, "client", "Several requests, each answered at once: nobody is to blame."),
    "reference": ("reference", 1, "client", "Round trip 97 ms. The request goes out in frames 4 and 5; the server acknowledges "
                  "it (relative ACK 1496) in frame 6. After 45 s and 90 s the client sends keep-alives, which the server's TCP "
                  "answers (frames 7 to 10). After 108 s the server's program answers, in frame 11. The server is to blame."),
}


def make(name, out, build):
    scenario, seed, vantage, words = SAMPLES[name]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run((sys.executable, os.path.join(HERE, "lab.py"), "--out", folder, "--build", build, "--only", scenario,
                        "--first-seed", str(seed), "--snaplen", str(SNAPLEN)), check=True, timeout=300)
        base = os.path.join(folder, f"{scenario}.{seed}-{vantage}")
        for end in (".pcap", ".truth.json"):
            with open(base + end, "rb") as made, open(os.path.join(out, name + end), "wb") as sample:
                data = made.read()
                sample.write(data.replace(os.path.basename(base).encode(), name.encode()) if end != ".pcap" else data)
    with open(os.path.join(out, name + ".md"), "w", encoding="utf-8") as file:
        file.write(f"# {name}\n\n{words}\n\nOrigin: tests/lab, scenario {scenario}, seed {seed}, captured at vantage point "
                   f"{vantage} with snap length {SNAPLEN}. Licence: BSD-2-Clause, as the project.\n{name}.truth.json has what "
                   "the programs' and the wire's logs say of it.\n")


def main():
    parser = argparse.ArgumentParser(description="Makes the samples (root).")
    parser.add_argument("--out", default="samples", help="(%(default)s)")
    parser.add_argument("--build", default="build/lab", help="folder of the programs wire and peer (%(default)s)")
    parser.add_argument("name", nargs="*", help="all by default")
    args = parser.parse_args()
    unknown = [name for name in args.name if name not in SAMPLES]
    if unknown:
        parser.error(f"no sample {', '.join(unknown)}")
    os.makedirs(args.out, exist_ok=True)
    for name in args.name or SAMPLES:
        make(name, args.out, args.build)
    return 0


if __name__ == "__main__":
    sys.exit(main())
