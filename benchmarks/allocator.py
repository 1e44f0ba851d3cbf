"""What it costs to give freed memory back: forward passes in a thread, as trials run, with and without keeping it.

    python benchmarks/allocator.py

Prints CPU seconds, the share of the system in them and page faults, for the allocator as it is and for the environment
of Pretrieve's workers, in turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from pretrieve.cluster import WORKER_ENVIRONMENT

PASS = """
import resource, threading, torch
from pretrieve.backbones import find_architecture

def measure():
    torch.set_num_threads(1)
    network = find_architecture({name!r}).build().eval().to(memory_format=torch.channels_last)
    images = torch.randn({batch}, 3, {size}, {size}).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        network(images)
        before = resource.getrusage(resource.RUSAGE_SELF)
        for _ in range({passes}):
            network(images)
        after = resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    print(user + system, system / (user + system), after.ru_minflt - before.ru_minflt, after.ru_maxrss / 1024)

thread = threading.Thread(target=measure)
thread.start()
thread.join()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    program = PASS.format(name=arguments.network, batch=arguments.batch, size=arguments.size, passes=arguments.passes)
    for turn in range(arguments.turns):
        seconds = {}
        for word, environment in (("as it is", {}), ("keeping", WORKER_ENVIRONMENT)):
            words = [sys.executable, "-c", program]
            ran = subprocess.run(words, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
            seconds[word], share, faults, peak_mb = map(float, ran.stdout.split())
            print(
                f"turn {turn}: {word:9} {seconds[word]:.1f} CPU s, {share:.0%} of it the system's, {faults:,.0f} page "
                f"faults, peak {peak_mb:,.0f} MB"
            )
        print(f"turn {turn}: as it is / keeping {seconds['as it is'] / seconds['keeping']:.2f}", flush=True)


if __name__ == "__main__":
    main()
