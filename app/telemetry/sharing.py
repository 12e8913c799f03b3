"""How workers that serve one port answer a scrape as one: prometheus_client's multi-process files.

    each worker: numbers --once a second, and at each scrape--> its files in a private folder
    any worker:  all files --merge--> one answer

The files have prometheus_client's format and its merge reads them. A place is a worker's number
among its siblings: whoever takes a dead worker's place goes on from its totals, so that counters
never fall and the folder never grows. What a worker counted in the second before it was killed
may be lost.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from app.core.errors import ConfigurationError
from app.telemetry.catalogue import Catalogue
from app.telemetry.instruments import AnyFamily, Histogram, Labels

logger = logging.getLogger(__name__)

PUBLISH_S = 1.0


class SharedFolder:
    """The folder of all workers, made and removed by their supervisor; a context manager.

    Args:
        places: of workers, from 0; the supervisor's own is behind them.

    Raises:
        ConfigurationError: there is no folder for temporary files.
    """

    def __init__(self, places: int) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix="rnnserve-metrics-"))
        except OSError as error:
            raise ConfigurationError(
                f"workers need a folder for temporary files to share their metrics: {error}; "
                "the variable TMPDIR names one"
            ) from error

        self._own = Share(self.path, places)
        self._restarts = Catalogue().restarts

    def __enter__(self) -> SharedFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._own.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def bury(self, place: int) -> None:
        """Take away what a dead worker said of the present, and count it; what it counted stays."""
        mark_process_dead(place, str(self.path))
        self._restarts.labels().inc()
        self._own.publish([self._restarts])


class Share:
    """One process's files in the folder.

    Args:
        folder: of :class:`SharedFolder`.
        place: of this process, which nobody alive shares.
    """

    def __init__(self, folder: Path, place: int) -> None:
        self._folder = folder
        self._place = place
        self._files: dict[str, _File] = {}
        self._closed = False
        self._lock = threading.Lock()

    def publish(self, families: Sequence[AnyFamily]) -> None:
        """Write what has changed since the last time."""
        with self._lock:
            if self._closed or not self._folder.is_dir():
                return  # closed files, opened again, would be taken for a predecessor's
            gone: set[str] = set()
            for family in families:
                self._publish_family(family, gone)
            for name in gone:
                # An entry cannot be taken out of a file, so a new one takes its place.
                self._files.pop(name).close()
                self._rewrite(name, families)

    def collected(self, catalogue: Catalogue) -> CollectorRegistry:
        """All processes' numbers, with this one's as they are now."""
        registry = CollectorRegistry()
        if not self._folder.is_dir():  # a sibling has abandoned it
            registry.register(catalogue)
            return registry
        self.publish(catalogue.families)
        registry.register(_InOrder(MultiProcessCollector(None, str(self._folder)), catalogue))
        return registry

    def abandon(self) -> None:
        """Remove the folder, since its supervisor has gone and will not."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Release the files; they stay."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()
            self._closed = True

    def _publish_family(self, family: AnyFamily, gone: set[str]) -> None:
        kind = f"gauge_{family.mode}" if family.kind == "gauge" else family.kind
        name = f"{kind}_{self._place}.db"
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _File(self._folder / name, carry=family.kind != "gauge")
        if file.write(family):
            gone.add(name)

    def _rewrite(self, name: str, families: Sequence[AnyFamily]) -> None:
        fresh = _File(self._folder / f"{name}.new", carry=False)
        mode = name.split("_")[1]
        for family in families:
            if family.kind == "gauge" and family.mode == mode:
                fresh.write(family)
        os.replace(self._folder / f"{name}.new", self._folder / name)
        self._files[name] = fresh


class Publisher:
    """Writes a process's numbers once a second, from a thread of its own.

    Args:
        catalogue: the numbers.
        share: where they go.
    """

    def __init__(self, catalogue: Catalogue, share: Share) -> None:
        self._catalogue = catalogue
        self._share = share
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Write once more, and end."""
        self._stop.set()
        self._thread.join()
        self._publish()
        self._share.close()

    def _run(self) -> None:
        self._publish()
        while not self._stop.wait(PUBLISH_S):
            self._publish()

    def _publish(self) -> None:
        try:
            self._catalogue.refresh()
            self._share.publish(self._catalogue.families)
        except Exception:
            # A full disk must not end the service; the next second tries again.
            logger.exception("the metrics of this worker could not be shared")


class _File:
    """One file: the values of families of one kind.

    Args:
        path: made if it is not there.
        carry: go on from what it holds.
    """

    def __init__(self, path: Path, *, carry: bool) -> None:
        if not carry:
            path.unlink(missing_ok=True)
        self._values = MmapedDict(str(path))
        self._before = {key: value for key, value, _ in self._values.read_all_values()} if carry else {}
        # By family and labels: what was written last, and the keys.
        self._last: dict[tuple[str, Labels], object] = {}
        self._keys: dict[tuple[str, Labels], list[str]] = {}

    def write(self, family: AnyFamily) -> bool:
        """Write a family's children; true when one that was written is there no more."""
        now = time.time()
        seen = 0
        for values, child in family.children():
            place = (family.name, values)
            numbers = [*child.counts, child.sum] if isinstance(child, Histogram) else [child.value]
            keys = self._keys.get(place)
            if keys is None:
                keys = self._keys[place] = _keys(family, values)
            seen += 1
            # A gauge is written anew each time: the newest of several workers' is told by its time.
            if family.kind != "gauge" and self._last.get(place) == numbers:
                continue
            self._last[place] = numbers
            for key, number in zip(keys, numbers, strict=True):
                self._values.write_value(key, self._before.get(key, 0.0) + number, now)
        return family.kind == "gauge" and seen < sum(name == family.name for name, _ in self._keys)

    def close(self) -> None:
        """Release it."""
        self._values.close()


class _InOrder(Collector):
    """The merged families in the catalogue's order; the merge's own follows the files."""

    def __init__(self, inner: MultiProcessCollector, catalogue: Catalogue) -> None:
        self._inner = inner
        self._places = {family.name: place for place, family in enumerate(catalogue.families)}

    def collect(self) -> Iterator[Metric]:
        yield from sorted(self._inner.collect(), key=lambda metric: self._places.get(metric.name, 1 << 30))


def _keys(family: AnyFamily, values: Labels) -> list[str]:
    def key(name: str, more: dict[str, str]) -> str:
        names = [*family.label_names, *more]
        return mmap_key(family.name, name, names, [*values, *more.values()], family.text)

    if family.kind != "histogram":
        return [key(family.sample_name, {})]
    buckets = [key(f"{family.name}_bucket", {"le": le}) for le in family.les]
    return [*buckets, key(f"{family.name}_sum", {})]
