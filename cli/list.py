"""The command that lists what a run can be made of."""

import json
from typing import TYPE_CHECKING, Any

import click

from db.axis import Axis
from db.recipe import DEFAULT_PERTURBATION, DEFAULT_SMOOTHER

if TYPE_CHECKING:
    from collections.abc import Mapping


#: The kinds of an axis, and what a section of their perturbations is called.
KINDS = {"noise": "Noise", "corruption": "Corruptions of ImageNet-C", "attack": "Attacks"}


@click.command("list")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="What to print."
)
def list_members(form: str) -> None:
    """List perturbations, smoothers, and sources of models and data.

    Each perturbation is listed with what its levels measure, and with the levels of a run that names none.
    """
    found = {"perturbations": _perturbations(), "smoothers": _smoothers(), "models": _models(), "datasets": _datasets()}
    if form == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    formatter = click.HelpFormatter()
    for kind, title in KINDS.items():
        alike = [one for one in found["perturbations"] if one["kind"] == kind]
        _write_perturbations(formatter, f"{title} (--perturbation NAME)", alike)
    smoothers = {one["name"]: one["about"] for one in found["smoothers"]}
    _write(formatter, "Smoothers (--smoother NAME)", _default_first(smoothers, DEFAULT_SMOOTHER))
    _write(formatter, "Models (--model NAME)", {one["name"]: one["about"] for one in found["models"]})
    _write(formatter, "Datasets (IMAGES)", {one["name"]: one["about"] for one in found["datasets"]})
    click.echo(formatter.getvalue().strip())


def _perturbations() -> list[dict[str, Any]]:
    from worker.perturbations import PERTURBATIONS

    return [
        {
            "name": one.name,
            **one.axis._asdict(),
            "levels": one.levels,
            "limits": one.limits,
            "needs_model": one.needs_model,
            "options": {
                name: {"default": field.default, "about": field.description}
                for name, field in one.options.model_fields.items()
            },
            "about": _first_line(one),
        }
        for one in PERTURBATIONS.values()
    ]


def _smoothers() -> list[dict[str, Any]]:
    from worker.smoothers import SMOOTHERS

    return [{"name": one.name, "uses": one.uses, "about": _first_line(one)} for one in SMOOTHERS.values()]


def _models() -> list[dict[str, Any]]:
    from db.models import MODEL_SOURCES
    from db.recipe import CHECKPOINT_SUFFIXES

    files = ", ".join(f"FILE{suffix}" for suffix in CHECKPOINT_SUFFIXES)
    sources = MODEL_SOURCES | {files: "a checkpoint; name its architecture with --arch torchvision/NAME or timm/NAME"}
    return [{"name": name, "about": about} for name, about in sources.items()]


def _datasets() -> list[dict[str, Any]]:
    from producer.sources import SOURCES

    return [{"name": one.name, "about": _first_line(one)} for one in SOURCES.values()]


def _first_line(member: object) -> str:
    return (member.__doc__ or "").splitlines()[0]


def _write_perturbations(formatter: click.HelpFormatter, title: str, found: list[dict[str, Any]]) -> None:
    """A section of perturbations. What their levels measure is said once if it is the same for all."""
    scales = {_scale(one) for one in found}
    said = {one["name"]: one["about"] + (f" {_scale(one)}" if len(scales) > 1 else "") + _options(one) for one in found}
    with formatter.section(title):
        if len(scales) == 1:
            formatter.write_text(next(iter(scales)))
        formatter.write_dl(list(_default_first(said, DEFAULT_PERTURBATION).items()))


def _scale(perturbation: dict[str, Any]) -> str:
    axis = Axis(*(perturbation[field] for field in Axis._fields))
    return f"Levels: {axis.label}, by default {', '.join(map(axis.number, perturbation['levels']))}."


def _options(perturbation: dict[str, Any]) -> str:
    flags = ", ".join(f"--{name.replace('_', '-')}" for name in perturbation["options"])
    return f" Options: {flags}." if flags else ""


def _default_first(said: dict[str, str], default: str) -> dict[str, str]:
    """The default before the others, and marked."""
    first = {default: f"The default. {said[default]}"} if default in said else {}
    return first | {name: about for name, about in said.items() if name != default}


def _write(formatter: click.HelpFormatter, title: str, rows: "Mapping[str, str]") -> None:
    with formatter.section(title):
        formatter.write_dl(list(rows.items()))
