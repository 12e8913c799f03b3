"""What the process itself takes: memory, CPU time, file descriptors, disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

from prometheus_client import ProcessCollector

from app.telemetry.catalogue import Catalogue


def watch_process(catalogue: Catalogue) -> None:
    """Measure this process whenever somebody looks."""
    collector = ProcessCollector(registry=None)
    gauges = {
        f"process_{name}": family.labels()
        for name, family in (
            ("resident_memory_bytes", catalogue.resident),
            ("virtual_memory_bytes", catalogue.virtual),
            ("open_fds", catalogue.open_fds),
            ("max_fds", catalogue.max_fds),
            ("start_time_seconds", catalogue.start_time),
        )
    }
    gauges["process_start_time_seconds"].set(time.time())
    cpu = catalogue.cpu.labels()

    def measure() -> None:
        for metric in collector.collect():
            for sample in metric.samples:
                if sample.name == "process_cpu_seconds_total":
                    cpu.value = sample.value
                elif sample.name in gauges:
                    gauges[sample.name].set(sample.value)

    catalogue.refreshers.append(measure)
    if _anonymous_bytes() is not None:
        catalogue.anonymous.labels().watch(lambda: float(_anonymous_bytes() or 0))


def disk_bytes(folder: Path) -> int:
    """Disk space that the files of a folder take; a sparse file takes less than its size.

    A folder that cannot be read takes none: a scrape must not fail for it.
    """
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat().st_blocks * 512 for entry in entries if entry.is_file())
    except OSError:
        return 0


def _anonymous_bytes() -> int | None:
    """Resident pages that no file backs, where Linux tells.

    The C library's own count, mallinfo2(3), walks the list of free blocks under a lock: on a heap of
    many holes that stops every thread that allocates for a third of a second.
    """
    try:
        _, resident, shared, *_ = Path("/proc/self/statm").read_text().split()
    except OSError:
        return None
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGESIZE")
