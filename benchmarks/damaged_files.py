"""Read thousands of damaged files, each in a worker process: nothing but the kit's own error may come of it.

    python benchmarks/damaged_files.py --count 5000 --seed 0

Whole files of every format and depth are written, then mutated: flipped bits, overwritten, deleted and repeated bytes,
cut ends; for PNG also with checksums made right again, and in the rows before they are packed, so that the damage
passes the first gates. Every mutant is read as an image and as a mask, and its header for its size and facts. Counted
are signals that end the worker, reads over 10 s, growth of memory over 500 MB, and exceptions other than ImageError.
"""

from __future__ import annotations

import argparse
import resource
import select
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from damaged_sources import damage_inside, mend_checksums, write_sources

SECONDS, GROWTH_MB = 10, 500
FAULTS = ("signal", "hang", "growth", "foreign")


def work() -> None:
    """Read the files named on standard input; one word for each goes to standard output."""
    from d24fad_lite.data.image_facts import image_facts
    from d24fad_lite.data.images import ImageError, decode_image, read_mask, stored_size

    warnings.simplefilter("ignore")
    readers = (lambda path: decode_image(path, 32), read_mask, stored_size, image_facts)
    print("ready", _peak_mb(), flush=True)
    for line in sys.stdin:
        outcome = "refused"
        for read in readers:
            try:
                read(line.strip())
                outcome = "read" if read is readers[0] else outcome
            except ImageError:
                pass
            except Exception as error:
                outcome = f"foreign:{type(error).__name__}:{str(error)[:80]!r}".replace(" ", "_")
                break
        print(outcome, _peak_mb(), flush=True)


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Worker:
    """A process that reads files one at a time; started again whenever one of them was too much for it."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        self.baseline = int(self.process.stdout.readline().split()[1])

    def read(self, path: Path) -> str:
        """ "read", "refused", or the fault."""
        self.process.stdin.write(f"{path}\n")
        if not select.select([self.process.stdout], [], [], SECONDS)[0]:
            return self._again("hang")
        line = self.process.stdout.readline().split()
        if not line:
            return self._again(f"signal:{-self.process.wait()}")
        if int(line[1]) - self.baseline > GROWTH_MB:
            return self._again(f"growth:{int(line[1]) - self.baseline}_MB")
        return line[0]

    def _again(self, outcome: str) -> str:
        self.stop()
        self.start()
        return outcome

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def damaged(source: Path, rng: np.random.Generator) -> bytes:
    """A mutant of one file; of PNG every third is damaged inside, every third has its checksums mended."""
    whole, gate = source.read_bytes(), rng.integers(3)
    if source.suffix == ".png" and gate == 0:
        return damage_inside(whole, lambda rows: mutated(rows, rng))
    data = mutated(whole, rng)
    return mend_checksums(data) if source.suffix == ".png" and gate == 1 else data


def mutated(whole: bytes, rng: np.random.Generator) -> bytes:
    """One to three kinds of damage; half of it falls on the first 400 bytes, where headers are."""
    data, times = bytearray(whole), rng.integers(1, 4)
    while times > 0 or data == whole:
        times -= 1
        kind = rng.integers(7)
        end = min(len(data), 400) if rng.random() < 0.5 else len(data)
        at = int(rng.integers(end)) if end else 0
        length = int(rng.integers(1, 5))
        if kind <= 2:
            for place in rng.integers(0, max(end, 1), length):
                data[place : place + 1] = bytes([data[place] ^ (1 << int(rng.integers(8)))]) if data else b""
        elif kind == 3:
            data[at : at + length] = rng.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * length
        elif kind == 4:
            data[at : at + length] = rng.bytes(length)
        elif kind == 5:
            data[at : at + length] = data[at : at + length] * int(rng.integers(0, 4))
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the mutants that showed a fault")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work()
    began, totals, faults = time.monotonic(), {}, []
    with tempfile.TemporaryDirectory() as folder:
        sources = write_sources(Path(folder))
        worker, mutant = Worker(), Path(folder) / "mutant"
        for index in range(options.count):
            source = sources[index % len(sources)]
            rng = np.random.default_rng([options.seed, index])
            mutant.write_bytes(damaged(source, rng))
            outcome = worker.read(mutant)
            totals.setdefault(source.suffix[1:], Counter())[outcome.split(":")[0]] += 1
            if outcome.startswith(FAULTS):
                faults.append(f"{source.name} #{index}: {outcome}")
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{index}_{source.name}").write_bytes(mutant.read_bytes())
        worker.stop()
    print(f"{'format':7}{'files':>7}{'read':>7}{'refused':>9}" + "".join(f"{fault:>9}" for fault in FAULTS))
    for suffix, counts in [*totals.items(), ("all", sum(totals.values(), Counter()))]:
        print(
            f"{suffix:7}{counts.total():7}{counts['read']:7}{counts['refused']:9}"
            + "".join(f"{counts[fault]:9}" for fault in FAULTS)
        )
    print(*faults, sep="\n")
    print(f"seed {options.seed}, {len(sources)} sources, {time.monotonic() - began:.0f} s")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
