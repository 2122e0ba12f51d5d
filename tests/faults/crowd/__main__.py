"""1,000 people at once in front of the real bot, on this machine: figures beside their goals.

The bot runs in a process of its own with a scripted model; the people and the
Bot API server in another. Ends with 1 if anything was lost, doubled or out of
order; timings do not change the exit code.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.crowd.acts import Memory, killed, talk
from tests.faults.crowd.scene import Pace, Scene
from tests.faults.crowd.verdict import Turn, percentile, slope, turns, wrongs

Row = tuple[str, str, str, bool | None]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(asked: argparse.Namespace) -> int:
    """The whole run; 1 when anything was lost, doubled or out of order."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(
            Path(folder), asked.people, Pace(asked.think, asked.words, asked.word), asked.seed
        )
        rows = await measured(scene, asked)
        code = await scene.close()
        wrong = await wrongs(scene)
    say("")
    for name, goal, found, met in rows:
        verdict = "" if met is None else "met" if met else "MISSED"
        say(f"{name:<58} {goal:>10} {found:>34}  {verdict}")
    say("updates and replies: " + ", ".join(f"{count} {what}" for what, count in wrong.items()))
    return int(code != 0 or any(wrong.values()))


async def measured(scene: Scene, asked: argparse.Namespace) -> list[Row]:
    """Two equal periods, the second with a flood; then the kill."""
    say(conditions(asked))
    await scene.open()
    await scene.whole()
    memory, load = Memory(), os.getloadavg()[0]
    watching = asyncio.create_task(memory.watch(scene))
    rows: list[Row] = []
    calm = await period(scene, asked, 0, "calm")
    rows += latencies(turns(scene, calm), "")
    flooded = await period(scene, asked, asked.flood, "flood")
    watching.cancel()
    rows += kept(scene) + flooding(turns(scene, calm), turns(scene, flooded), asked.flood)
    rows += remembered(memory)
    count, first, last = await killed(scene, asked.killed)
    found = f"first {first:.1f} s, last {last:.1f} s"
    rows.append((f"after kill -9, {count} open turns go on", "< 10 s", found, last < 10))
    say(f"load average: {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end")
    return rows


async def period(scene: Scene, asked: argparse.Namespace, flood: int, name: str) -> list[str]:
    """One period of talk, with what it cost the processor."""
    began, bot, own = time.monotonic(), scene.cpu_s(), time.process_time()
    calls = scene.watching.methods.total()
    marks = await talk(scene, asked.turns, asked.seconds, flood=flood)
    took, count = time.monotonic() - began, len(marks)
    say(
        f"{name}: {count} turns in {took:.0f} s; the bot's processor time "
        f"{(scene.cpu_s() - bot) / count * 1000:.0f} ms a turn ({(scene.cpu_s() - bot) / took:.0%} "
        f"of a core), people and server {(time.process_time() - own) / took:.0%}; "
        f"{(scene.watching.methods.total() - calls) / count:.1f} calls a turn"
    )
    return marks


def conditions(asked: argparse.Namespace) -> str:
    return (
        f"{asked.people} people, {asked.turns} messages each within {asked.seconds:.0f} s "
        f"({asked.people * asked.turns / asked.seconds:.1f} a second), sent whether or not the "
        f"last reply has come; the model thinks {asked.think} s and says {asked.words} words, one "
        f"each {asked.word} s\n{len(os.sched_getaffinity(0))} cores, shared by the bot, by one "
        "process with the people and the Bot API server, and by whatever else runs here"
    )


def latencies(found: list[Turn], when: str) -> list[Row]:
    """The bot's own time, before the model and after it."""
    before, after = [t.until_asked for t in found], [t.until_arrived for t in found]
    both = [t.until_asked + t.until_arrived for t in found]
    named = (("from update to model", before), ("from last word to message", after), ("both", both))
    return [
        (f"{name}{when}, p50/p95/p99 of {len(found)}", "< 100 ms", spread(values),
         percentile(values, 0.95) < 0.1)
        for name, values in named
    ]  # fmt: skip


def spread(values: list[float]) -> str:
    return " / ".join(f"{percentile(values, share) * 1000:.0f}" for share in (0.5, 0.95, 0.99)) + (
        " ms"
    )


def kept(scene: Scene) -> list[Row]:
    values = [seconds for _, seconds in scene.noted("kept")]
    whole = scene.watching.confirmed
    return [
        ("a batch of updates is on disk, p50/p95/p99", "< 10 ms", spread(values),
         percentile(values, 0.99) < 0.01),
        ("and confirmed to the server, p50/p95/p99", "", spread(whole), None),
    ]  # fmt: skip


def flooding(calm: list[Turn], flooded: list[Turn], flood: int) -> list[Row]:
    without = percentile([t.whole for t in calm], 0.95)
    beside = percentile([t.whole for t in flooded], 0.95)
    found = f"{without * 1000:.0f} → {beside * 1000:.0f} ms"
    name = f"everybody else's p95 from sent to answered, beside {flood}"
    return [(name, "+ < 1 s", found, beside - without < 1), *latencies(flooded, ", flooded")]


def remembered(memory: Memory) -> list[Row]:
    """Flat: the second half of the run adds less than a twentieth."""
    samples = memory.samples
    start, middle, end = samples[0][1], samples[len(samples) // 2][1], samples[-1][1]
    found = (
        f"{start:.0f}, {middle:.0f}, {end:.0f} MB; {slope(samples[len(samples) // 2 :]):+.1f}/min"
    )
    return [("memory at start, middle, end; slope of 2nd half", "flat", found, end < middle * 1.05)]


def options(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.crowd", description=__doc__)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=2, help="messages of each person in a period")
    parser.add_argument("--seconds", type=float, default=180, help="of a period; there are two")
    parser.add_argument("--flood", type=int, default=600, help="messages of the one who floods")
    parser.add_argument("--killed", type=int, default=100, help="people who wait at the kill")
    parser.add_argument("--think", type=float, default=1.0, help="s before the first word")
    parser.add_argument("--words", type=int, default=20)
    parser.add_argument("--word", type=float, default=0.1, help="s a word")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(options())))
