"""scan - how fast the secret scanner reads a source tree, on one core"""

import os
import random
import statistics
import subprocess
import tempfile

from lab import BUILD
from measure import PAIRS, SECONDS, interleaved, paired_ratio, result

FILES, LINES = 200, 2500		# some 20 MB
WORDS = ("buffer key token index length parse request response secret handler error value config session user "
         "password client stream offset header count auth return cache node state").split()
SHAPES = ("\tif ({a}->{b} < {n})\n\t\treturn -{n};", "static int {a}_{b}(struct {c} *{a}, size_t {b})\n{{",
          "\t{a}.{b} = {c}_get({a}, \"{b}-{c}\", {n});", " * {a} {b} of the {c}: see {b}({n}) and the {a}'s {c}.", "}}\n",
          "    {a}_{b}: \"{c}/{b}-{n}.{a}\"", "    def {a}_{b}(self, {c}={n}):", "#define {a}_{b} 0x{x:08x}",
          "        self.{a} = {b}.{c}(\"{a}\", {b}={n})", "https://{a}.example/{b}/{c}?{a}={n}#{x:016x}")


def source_tree(folder):
    """Text that looks like code, the same each time, full of the words that rules have as keywords."""
    dice, paths = random.Random(1), []
    for n in range(FILES):
        paths.append(os.path.join(folder, f"{n}.c"))
        with open(paths[-1], "w") as f:
            for _ in range(LINES):
                a, b, c = (dice.choice(WORDS) for _ in range(3))
                f.write(dice.choice(SHAPES).format(a=a, b=b, c=c, n=dice.randrange(4096), x=dice.getrandbits(32)) + "\n")
    return paths


def row_scan_bytes(bench):
    """Vectorscan and PCRE2 against PCRE2's JIT alone, rule by rule."""
    with tempfile.TemporaryDirectory() as folder:
        paths, found = source_tree(folder), set()
        size = sum(map(os.path.getsize, paths))

        def run(how):
            done = subprocess.run(["taskset", "-c", "0", f"{BUILD}/bench-scan", how, str(SECONDS), *paths], check=True,
                                  stdout=subprocess.PIPE, text=True)
            speed, secrets = done.stdout.split()
            found.add(secrets)
            return int(speed) / 1e6

        figures = interleaved({"engine": lambda: run("engine"), "regexes": lambda: run("regexes")}, PAIRS)
    assert len(found) == 1, found
    ours, peer = (round(statistics.median(figures[k]), 1) for k in ("engine", "regexes"))
    row = result("scan_bytes", ours, peer, "MB/s", None,
                 f"all builtin rules over {size / 1e6:.0f} MB of generated source, one core, CPU time; against the same rules by "
                 f"PCRE2's JIT one after the other; medians of {PAIRS} pairs")
    row["ratio"] = paired_ratio(figures["engine"], figures["regexes"])
    yield row
