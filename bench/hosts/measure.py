"""The functions of measure.exs, for the hosts in Python."""
import os
import time

QUICK = bool(os.environ.get("QUICK"))
SIZES = {"text_1k": 1024, "text_1m": 1024 * 1024}
ROUNDS = 100_000 if QUICK else 5_000_000
INSTANCES = 1_000
INPUT = "abcdefgh" * 128


def put(work, figure):
    print(f"{work}\t{figure}", flush=True)


def measure(run):
    run()
    count = 1
    budget = 0.02 if QUICK else 0.3
    while True:
        start = time.perf_counter()
        for _ in range(count):
            run()
        seconds = time.perf_counter() - start
        if seconds >= budget:
            return seconds / count * 1e6
        count *= 2


def once(run):
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def each_kib(start):
    start()
    before = resident()
    kept = [start() for _ in range(INSTANCES)]
    return (resident() - before) / len(kept)
