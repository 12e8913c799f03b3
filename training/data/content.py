"""What a file of a data set holds, as a digest that does not depend on how it is packed."""

from __future__ import annotations

import gzip
import hashlib
import re
import tarfile
from pathlib import Path

from app.core.errors import DataError

_REVIEW = re.compile(r"(?:.*/)?((?:train|test)/(?:pos|neg)/\d+_\d+\.txt)")


def content_sha256(file: Path) -> str:
    """Digest of what a file holds, whatever it is packed with.

    Of a ``.gz`` the unpacked bytes; of the archive of reviews the sorted lines
    ``<split>/<class>/<id>_<rating>.txt <sha256 of the text>`` of the labelled ones, so that the
    published archive and one without the unlabelled reviews are the same; of others the bytes.

    Raises:
        DataError: the file cannot be read or unpacked.
    """
    try:
        if file.name.endswith(".tar.gz"):
            lines: list[str] = []
            with tarfile.open(file, "r:gz") as archive:
                for member in archive:
                    match = _REVIEW.fullmatch(member.name)
                    stream = archive.extractfile(member) if match else None
                    if match and stream is not None:
                        lines.append(f"{match[1]} {hashlib.sha256(stream.read()).hexdigest()}\n")
            return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
        data = file.read_bytes()
        return hashlib.sha256(gzip.decompress(data) if file.name.endswith(".gz") else data).hexdigest()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise DataError(f"cannot read {file.name!r}: {error}") from error
