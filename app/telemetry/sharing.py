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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from app.core.errors import ConfigurationError
from app.telemetry.catalogue import Catalogue

logger = logging.getLogger(__name__)

PUBLISH_S = 1.0


class SharedFolder:
    """The folder of all workers, made and removed by their supervisor, whose own place is behind theirs.

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

        self._share = Share(self.path, places)
        self._restarts = Catalogue().restarts

    def __enter__(self) -> SharedFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._share.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def bury(self, place: int) -> None:
        """Remove a dead worker's gauges, and count its death; its totals stay."""
        mark_process_dead(place, str(self.path))
        self._restarts.inc()
        self._share.publish(self._restarts.collect(), {})


class Share:
    """One process's files in the folder: totals, which grow in place, and gauges, written anew each time.

    No other live process has its ``place``.
    """

    def __init__(self, folder: Path, place: int) -> None:
        self._folder = folder
        self._place = place
        self._totals: dict[str, _Totals] = {}
        self._keys: dict[tuple[str, ...], str] = {}
        self._closed = False
        self._lock = threading.Lock()

    def publish(self, metrics: Iterable[Metric], modes: Mapping[str, str]) -> None:
        """Give a generator: read under the lock, no older total is written over a newer one."""
        with self._lock:
            if self._closed or not self._folder.is_dir():
                return  # closed files, opened again, would be taken for a predecessor's
            gauges: dict[str, list[tuple[str, float]]] = {mode: [] for mode in modes.values()}
            for metric in metrics:
                values = [(self._key(metric, sample), sample.value) for sample in metric.samples]
                if metric.type == "gauge":
                    gauges[modes[metric.name]] += values
                else:
                    self._totals_of(metric.type).write(values)
            for mode, values in gauges.items():
                self._replace(self._folder / f"gauge_{mode}_{self._place}.db", values)

    @contextmanager
    def publishing(self, catalogue: Catalogue) -> Iterator[None]:
        """Publish once a second in the block, and once more at its end, which closes the files."""
        stop = threading.Event()

        def publish() -> None:
            try:
                self.publish(catalogue.collect(), catalogue.modes)
            except Exception:
                # A full disk must not end the service; the next second tries again.
                logger.exception("the metrics of this worker could not be shared")

        def run() -> None:
            while not stop.wait(PUBLISH_S):
                publish()

        thread = threading.Thread(target=run, name="metrics", daemon=True)
        publish()
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            publish()
            self.close()

    def collector(self, catalogue: Catalogue) -> Collector:
        """All processes' numbers, with this one's as they are now."""
        if not self._folder.is_dir():  # a sibling has abandoned it
            return catalogue
        self.publish(catalogue.collect(), catalogue.modes)
        return _Merged(self._folder, catalogue)

    def abandon(self) -> None:
        """Remove the folder, since its supervisor has gone and will not."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Release the files; they stay."""
        with self._lock:
            for totals in self._totals.values():
                totals.close()
            self._totals.clear()
            self._closed = True

    def _key(self, metric: Metric, sample: Sample) -> str:
        found = (sample.name, *sample.labels.values())
        key = self._keys.get(found)
        if key is None:
            names, values = list(sample.labels), list(sample.labels.values())
            key = self._keys[found] = mmap_key(metric.name, sample.name, names, values, metric.documentation)
        return key

    def _totals_of(self, kind: str) -> _Totals:
        if kind not in self._totals:
            self._totals[kind] = _Totals(self._folder / f"{kind}_{self._place}.db")
        return self._totals[kind]

    def _replace(self, path: Path, values: list[tuple[str, float]]) -> None:
        """Write a file of gauges anew, since an entry cannot be taken out of one."""
        fresh, now = path.with_suffix(".new"), time.time()
        fresh.unlink(missing_ok=True)
        file = MmapedDict(str(fresh))
        for key, value in values:
            # The newest of several workers' gauges is told by the time.
            file.write_value(key, value, now)
        file.close()
        os.replace(fresh, path)


class _Totals:
    """A file of counters or histograms, which goes on from what it holds."""

    def __init__(self, path: Path) -> None:
        self._file = MmapedDict(str(path))
        self._before = {key: value for key, value, _ in self._file.read_all_values()}
        self._written: dict[str, float] = {}

    def write(self, values: Iterable[tuple[str, float]]) -> None:
        for key, value in values:
            if self._written.get(key) != value:
                self._written[key] = value
                self._file.write_value(key, self._before.get(key, 0.0) + value, 0.0)

    def close(self) -> None:
        self._file.close()


class _Merged(Collector):
    """The numbers of all files, in the catalogue's order; the merge's own follows the files."""

    def __init__(self, folder: Path, catalogue: Catalogue) -> None:
        self._folder = folder
        self._places = {metric.name: place for place, metric in enumerate(catalogue.describe())}

    def collect(self) -> Iterator[Metric]:
        files = [str(file) for file in self._folder.glob("*.db")]
        # Buckets are in the files as a scrape shows them: each holds those below it.
        merged = MultiProcessCollector.merge(files, accumulate=False)
        yield from sorted(merged, key=lambda metric: self._places.get(metric.name, 1 << 30))
