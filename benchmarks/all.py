"""Every benchmark of docs/performance.md in one run, then the table.

    python -m benchmarks.all [--quick] [--only forecast,engine] [--no-peers] [--soak-seconds 600]

Each benchmark is a process of its own; all write into one folder of results, with the name of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import RESULTS, command, machine

FULL = {
    "forecast": "--seconds 2 --rounds 3 --peer-rounds 2",
    "stateful": "--seconds 2 --rounds 3",
    "generation": "--seconds 3 --rounds 3",
    "engine": "--seconds 0.5 --rounds 3",
    "mixed": "--seconds 5 --rounds 3",
    "scaling": "--seconds 2 --rounds 2",
}
QUICK = {
    "forecast": "--seconds 1 --rounds 1 --no-peers",
    "stateful": "--seconds 1 --rounds 1 --no-peers --stores memory,process",
    "generation": "--seconds 1 --rounds 1 --firsts 20",
    "engine": "--seconds 0.2 --rounds 1 --hidden 64 --cells lstm,gru",
    "mixed": "--seconds 2 --rounds 1",
    "scaling": "--seconds 1 --rounds 1 --sessions 500",
}


def main() -> None:
    """Run them; exits with 1 when one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes: shows that everything runs")
    parser.add_argument("--only", default="", help="names by commas")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--soak-seconds", type=float, help="default: 600, with --quick 5")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else list(FULL)
    run = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    started = time.perf_counter()
    parts = []
    for name in wanted:
        words = (QUICK if options.quick else FULL)[name].split()
        if options.no_peers and name in ("forecast", "stateful") and "--no-peers" not in words:
            words.append("--no-peers")
        if name == "scaling":
            soak = options.soak_seconds if options.soak_seconds is not None else (5 if options.quick else 600)
            words += ["--soak-seconds", f"{soak:g}"]
        print(f"== {name} {' '.join(words)}", flush=True)
        began = time.perf_counter()
        status = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *words],
            env={**os.environ, "BENCHMARK_RUN": run},
            cwd=Path(__file__).parent.parent,
        ).returncode
        parts.append({"name": name, "status": status, "seconds": round(time.perf_counter() - began, 1)})
    document = {
        "run": run,
        "command": command("all"),
        "seconds": round(time.perf_counter() - started, 1),
        "machine": machine(),
        "parts": parts,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "run.json").write_text(json.dumps(document, indent=2) + "\n")
    failed = [str(part["name"]) for part in parts if part["status"]]
    print(f"{document['seconds']:g} s; failed: {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
