"""The model card of an imported network."""

from __future__ import annotations

from app.bundle.manifest import Manifest
from training.importing.layout import Layouts


def render_card(manifest: Manifest, layouts: Layouts) -> str:
    source = manifest.provenance.data[0]
    depends = manifest.graph.depends_on
    bits = (
        f"The last bits of an answer depend on {' and '.join(depends)}."
        if depends
        else "An answer has the same bits however a sequence is cut and batched."
    )
    worst = max(manifest.parity.one_shot, manifest.parity.step_by_step, manifest.parity.batched)
    fields = "\n".join(f"| `{field.name}` | {list(field.shape)} |" for field in manifest.row.fields)
    return f"""# {manifest.name}

{manifest.description}

Imported from `{source.name}` (sha256 `{source.sha256}`), which was not changed: nodes
around it split the row into its states, and give batch and time their axes ({layouts.steps}).
{bits} It differs from the original by {worst:.1e} at most, on the recorded steps.

| state | shape |
|---|---|
{fields}

Quality, origin of the data and licence are those of the original, and not recorded here.
"""
