"""What kills, full disks, damage and rivals do to results: `python -m benchmarks.torture [--kills 1000] [--write docs/reliability.md]`.

Not a measure of speed, and not part of CI: about ten minutes on two idle cores. Every case works on tiny runs of the embedded pictures
(60 dominoes, a few steps) in a temporary folder, with the package's own code, and counts what a user would have to fear:

- lost: a run that was DONE and is not, or is not whole, without anybody having damaged it;
- repeated: a run that was DONE, and was trained again although nothing was wrong with it;
- unnoticed: a damaged run that a reader takes for a whole one;
- different: results that are not, byte for byte, those of an undisturbed sweep.

SIGKILLs hit a process that trains, at a moment drawn uniformly from the time of two runs; the process is forked from one that has
everything loaded, so that a thousand are affordable. `--commands` of them hit the real command line with its workers.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A process with threads of numerical libraries cannot be forked.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
sys.path.insert(0, str(ROOT / "tests" / "oracles"))

import small_sweeps  # noqa: E402  (of the tests' oracles)

from dominoes.data import dealing  # noqa: E402
from dominoes.data.probe_sets import for_training  # noqa: E402
from dominoes.runs import collected, execution, plan, run_folders, state, sweep_file  # noqa: E402
from dominoes.runs.engines import protocol  # noqa: E402
from dominoes.runs.engines.here import here  # noqa: E402
from dominoes.runs.execution import Outcome  # noqa: E402
from dominoes.runs.plan import Plan  # noqa: E402
from dominoes.runs.state import Damage  # noqa: E402
from dominoes.spec import RunSpec  # noqa: E402

BEGIN, END = "<!-- torture: begin -->", "<!-- torture: end -->"
FILES = ("curves.csv", "classes.csv", "confusion.npz", "spec.json", "environment.json")


@dataclass
class Tally:
    """A row of the table."""

    case: str
    tried: int = 0
    runs: int = 0
    lost: int = 0
    repeated: int = 0
    unnoticed: int = 0
    different: int = 0
    note: str = ""


class Place:
    """A sweep of tiny runs, loaded, and the folder in which it is tortured."""

    def __init__(self, folder: Path, seeds: int):
        self.folder = folder
        self.file = small_sweeps.write(folder / "sweep.yaml", seed=list(range(seeds)), train__epochs=2)
        self.plan: Plan = plan.make_plan(sweep_file.read_sweep_file(self.file))
        self.specs = [run.spec for run in self.plan.runs]
        first = self.specs[0]
        # Instances have each a deal of their own; the probes are the same.
        self.dealt = {spec.dataset: dealing.deal_spec(spec.dataset) for spec in self.specs}
        self.tests = for_training(first.dataset, first.train)
        self.calm = folder / "calm"
        began = time.perf_counter()
        self.finish(self.calm)
        self.seconds = (time.perf_counter() - began) / seeds
        self.expected = self.exported(self.calm)

    def execute(self, spec: RunSpec, out: Path) -> Outcome:
        return execution.execute(spec, self.dealt[spec.dataset], self.tests, out, repair=True)

    def train(self, out: Path) -> int:
        """What a launch does in one process; how many runs it trained."""
        missing = [spec for spec in self.specs if not state.is_whole(out / state.RUNS / spec.id)]
        reports = list(protocol.launch(missing, lambda todo: here(todo, lambda spec: self.execute(spec, out)), out))
        return sum(report.state == "done" and not report.reason for report in reports)

    def fork(self, out: Path, before: Callable[[], None] = lambda: None) -> int:
        """A launch in a process of its own; its number. Its exit code is the number of runs that it trained."""
        pid = os.fork()
        if not pid:
            code = 250
            try:
                before()
                code = self.train(out)
            finally:
                os._exit(code)
        return pid

    def finish(self, out: Path) -> None:
        """Train what is missing in a child, as this process must stay one that can be forked."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.fork(out), 0)[1])
        assert 0 <= code <= len(self.specs), code

    def exported(self, out: Path) -> bytes:
        """The table of all runs, as bytes."""
        path = self.folder / "exported.csv"
        plan.save_plan(self.plan, out, b"")
        collected.export_table(self.plan, out, path)
        return path.read_bytes()

    def marks(self, out: Path) -> dict[str, tuple[int, int]]:
        """Each finished run, and which writing of DONE finished it."""
        found = {}
        for folder in run_folders.finished(out):
            stat = (folder / state.DONE).stat()
            found[folder.name] = stat.st_ino, stat.st_mtime_ns
        return found

    def compare(self, tally: Tally, out: Path, before: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """Count what became of finished runs since `before`; how they are now."""
        now = self.marks(out)
        tally.lost += sum(name not in now for name in before)
        tally.repeated += sum(name in now and now[name] != mark for name, mark in before.items())
        tally.lost += sum(state.damage(out / state.RUNS / name, deep=True) is not None for name in now if name not in before)
        return now

    def end(self, tally: Tally, out: Path) -> None:
        """Let the sweep end undisturbed and compare its results with those of the calm one."""
        self.finish(out)
        tally.different += self.exported(out) != self.expected
        shutil.rmtree(out)


def kills(place: Place, count: int, rng: random.Random) -> Tally:
    """SIGKILL of the training process."""
    tally = Tally("SIGKILL of a training process")
    out, known = place.folder / "kills", {}
    while tally.tried < count:
        child = place.fork(out)
        time.sleep(rng.uniform(0, 2 * place.seconds))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        tally.tried += os.WIFSIGNALED(status)
        known = place.compare(tally, out, known)
        if len(known) == len(place.specs):
            tally.runs += len(known)
            place.end(tally, out)
            known = {}
    tally.runs += len(known)
    place.end(tally, out)
    return tally


def commands(place: Place, count: int, rng: random.Random) -> Tally:
    """SIGKILL of the real command: of all of it, of its first process, or of a worker."""
    tally = Tally("SIGKILL of `sweep run --workers 2`", note="all of it, its first process, or a worker, in turn")
    out, known = place.folder / "commands", {}
    while tally.tried < count:
        process = small_sweeps.start(place.file, out, "--workers", 2)
        before_first = time.monotonic() + 120
        while not list(out.glob("runs/*/CLAIM*")) and process.poll() is None and time.monotonic() < before_first:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 6 * place.seconds))
        workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout.split()
        which = tally.tried % 3
        if which == 2 and workers:
            os.kill(int(rng.choice(workers)), signal.SIGKILL)
            process.communicate()
        elif process.poll() is None:
            os.kill(process.pid, signal.SIGKILL) if which else os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        tally.tried += 1
        known = place.compare(tally, out, known)
        if len(known) == len(place.specs):
            tally.runs += len(known)
            place.end(tally, out)
            known = {}
    tally.runs += len(known)
    place.end(tally, out)
    return tally


def rivals(place: Place, count: int) -> Tally:
    """Three launches on one folder at once."""
    tally = Tally("three launches at once on one folder")
    for _ in range(count):
        out = place.folder / "rivals"
        trained = 0
        for child in [place.fork(out) for _ in range(3)]:
            trained += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        tally.tried += 1
        tally.runs += len(place.specs)
        tally.repeated += abs(trained - len(place.specs))
        place.compare(tally, out, {})
        place.end(tally, out)
    return tally


def full(place: Place, count: int, rng: random.Random) -> Tally:
    """A disk that takes so many bytes a file and no more."""
    tally = Tally("disk full while a run writes", note="a limit on the size of files, drawn from 1 byte to 6 kB")
    for _ in range(count):
        out, room = place.folder / "full", rng.randrange(1, 6000)

        def limited(room: int = room) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (the process ends with it)

        os.waitpid(place.fork(out, limited), 0)
        tally.tried += 1
        known = place.compare(tally, out, {})
        tally.lost += len(list(out.rglob(".partial-*")))
        tally.runs += len(place.specs)
        place.finish(out)
        place.compare(tally, out, known)
        place.end(tally, out)
    return tally


def damages(place: Place, count: int, rng: random.Random) -> list[Tally]:
    """One bit, the end, all, or the whole of a file of a finished run, or another run's file in its place."""
    found = []
    out = place.folder / "damages"
    shutil.copytree(place.calm, out)
    for name in FILES:
        tally = Tally(f"damaged `{name}`", note="a bit changed, cut off, emptied, removed, another run's")
        for number in range(count // len(FILES)):
            spec = rng.choice(place.specs)
            other = rng.choice([each for each in place.specs if each != spec])
            folder = out / state.RUNS / spec.id
            path, content = folder / name, (folder / name).read_bytes()
            kind = number % 5
            if kind == 0:
                bit = rng.randrange(8 * len(content))
                path.write_bytes(content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :])
            elif kind in (1, 2):
                os.truncate(path, rng.randrange(len(content)) if kind == 1 else 0)
            elif kind == 3:
                path.unlink()
            else:
                shutil.copy(out / state.RUNS / other.id / name, path)
            tally.tried += 1
            tally.runs += 1
            try:
                run_folders.read_run(folder)
                tally.unnoticed += path.read_bytes() != content
            except Damage:
                place.finish(out)
            if state.damage(folder, deep=True) is not None:
                tally.lost += 1
        tally.different += place.exported(out) != place.expected
        found.append(tally)
    shutil.rmtree(out)
    return found


def ray_node() -> Tally:
    """A worker, then a whole node of a Ray cluster, killed in mid-sweep."""
    test = "tests/runs/engines/test_on_ray.py::test_a_killed_worker_and_a_killed_node_cost_their_own_runs"
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 5 or "skipped" in done.stdout:
        return Tally("Ray: a worker and a node killed", note="ray is not installed: not tried")
    tally = Tally("Ray: a worker and a node killed", tried=2, runs=6, note="each run DONE once, the export that of one machine")
    if done.returncode:
        said = next((line[1:].strip() for line in done.stdout.splitlines() if line.startswith("E  ")), "see its output")
        tally.lost, tally.note = 1, f"the test fails, whatever it lost: {said}"
    return tally


def table(tallies: list[Tally]) -> str:
    """The rows as Markdown."""
    lines = ["| case | times | runs | lost | repeated | unnoticed | different | |", "|---|---:|---:|---:|---:|---:|---:|---|"]
    for tally in tallies:
        numbers = (tally.tried, tally.runs, tally.lost, tally.repeated, tally.unnoticed, tally.different)
        lines.append(f"| {tally.case} | {' | '.join(f'{number:,}' for number in numbers)} | {tally.note} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--commands", type=int, default=30)
    parser.add_argument("--others", type=int, default=100, help="times of every other case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--write", type=Path, help="page whose table is filled again")
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), 12)
        tallies = []
        cases: list[Callable[[], Tally | list[Tally]]] = [
            lambda: kills(place, given.kills, rng),
            lambda: rivals(place, given.others // 4),
            lambda: full(place, given.others // 4, rng),
            lambda: damages(place, 5 * given.others, rng),
            lambda: commands(place, given.commands, rng),
        ]
        for case in cases + ([] if given.no_ray else [ray_node]):
            found = case()
            tallies += found if isinstance(found, list) else [found]
            print(*table(tallies).splitlines()[2:][-1 if isinstance(found, Tally) else -len(found) :], sep="\n", flush=True)
    text = table(tallies)
    if given.write:
        page = given.write.read_text(encoding="utf-8")
        filled = re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n\n{text}\n\n{END}", page, flags=re.DOTALL)
        given.write.write_text(filled, encoding="utf-8")
    bad = sum(tally.lost + tally.repeated + tally.different for tally in tallies)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
