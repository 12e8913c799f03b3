"""What the process itself takes: memory, CPU time, file descriptors, disk."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from prometheus_client import ProcessCollector

from app.telemetry.catalogue import Catalogue


def watch_process(catalogue: Catalogue) -> None:
    collector = ProcessCollector(registry=None)
    gauges = {
        "process_resident_memory_bytes": catalogue.resident,
        "process_virtual_memory_bytes": catalogue.virtual,
        "process_open_fds": catalogue.open_fds,
        "process_max_fds": catalogue.max_fds,
        "process_start_time_seconds": catalogue.start_time,
    }
    catalogue.told(catalogue.start_time).set(time.time())
    counted = 0.0
    lock = threading.Lock()

    def measure() -> None:
        nonlocal counted
        with lock:  # several scrapes may run at once
            for sample in (sample for metric in collector.collect() for sample in metric.samples):
                if sample.name == "process_cpu_seconds_total":
                    catalogue.cpu.inc(max(0.0, sample.value - counted))
                    counted = max(counted, sample.value)
                elif sample.name in gauges:
                    catalogue.told(gauges[sample.name]).set(sample.value)

    catalogue.measure = measure
    if _anonymous_bytes() is not None:
        catalogue.told(catalogue.anonymous).set_function(lambda: float(_anonymous_bytes() or 0))


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
