"""The model card: the manifest as a page for people (Mitchell et al. 2019, "Model Cards")."""

from __future__ import annotations

from app.bundle.manifest import Manifest, Quality


def render_card(manifest: Manifest, notes: str) -> str:
    """Markdown of a bundle's ``README.md``.

    Args:
        manifest: every figure on the card is read from here.
        notes: Markdown on intended use, data and limits, put after the figures.
    """
    network, provenance = manifest.network, manifest.provenance
    kind = network.cell.upper() + (f" ({network.nonlinearity})" if network.nonlinearity else "")
    lines = [
        f"# {manifest.reference}",
        "",
        manifest.description,
        "",
        f"- **Task**: {manifest.task}",
        f"- **Network**: {network.layers} x {network.hidden} {kind}, {network.parameters:,} parameters",
        f"- **State row**: {manifest.row.size} float32 ({manifest.row.size * 4 / 1024:.1f} KiB a sequence)",
        f"- **Parity with PyTorch** (largest relative difference): one-shot {manifest.parity.one_shot:.1e}, "
        f"step by step {manifest.parity.step_by_step:.1e}, batched {manifest.parity.batched:.1e} "
        f"(bound {manifest.parity.bound:.0e})",
        "",
    ]
    if manifest.quality:
        lines += ["## Quality", "", *_quality_table(manifest.quality), ""]
    if notes.strip():
        lines += [notes.strip(), ""]
    lines += ["## Provenance", "", f"Trained {provenance.created}, seed {provenance.seed}:", ""]
    lines += ["```", provenance.command, "```", ""]
    if provenance.training_seconds is not None:
        lines += [f"The training took {provenance.training_seconds / 60:.1f} minutes.", ""]
    if provenance.packages:
        lines += [
            "Packages: " + ", ".join(f"{key} {value}" for key, value in provenance.packages.items()) + ".",
            "",
        ]
    if provenance.data:
        lines += ["| data file | licence | sha256 |", "|---|---|---|"]
        for source in provenance.data:
            label = f"[{source.name}]({source.url})" if source.url else source.name
            lines.append(f"| {label} | {source.licence or '-'} | `{source.sha256[:16]}…` |")
        lines.append("")
    return "\n".join(lines)


def _quality_table(figures: tuple[Quality, ...]) -> list[str]:
    lines = ["| data | split | metric | this model | baselines | published |", "|---|---|---|---:|---|---|"]
    for figure in figures:
        lines.append(
            f"| {figure.dataset} | {figure.split} | {metric_of(figure)} | **{figure.value:.4g}** "
            f"| {named(figure.baselines)} | {named(figure.references)} |"
        )
    return lines


def metric_of(figure: Quality) -> str:
    """The metric, with the direction in which it gets better."""
    return f"{figure.metric} ({'higher' if figure.higher_is_better else 'lower'} is better)"


def named(values: dict[str, float]) -> str:
    """Baselines or published figures on one line; a dash for none."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items()) or "-"
