"""Standard instances: datasets with a name, a published source and a digest of their rows, which anybody can rebuild."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

import yaml

from dominoes.errors import DatasetError, SpecError
from dominoes.spec import DominoSpec, TrainSpec, parse

# What may be set beside the name of an instance: another deal of the same counts.
_FREE = ("seed",)


@dataclass(frozen=True)
class Instance:
    """A standard instance.

    Attributes:
        name: by which it is built and cited.
        title: what it shows, in a line.
        source: the publication whose protocol it follows.
        dataset: its spec.
        train: what is known of the published training.
        published: the published numbers, in a sentence.
        differs: what differs from the publication and why, a sentence each.
        rows: SHA-256 of its metadata.csv.
    """

    name: str
    title: str
    source: str
    dataset: DominoSpec
    train: TrainSpec
    published: str
    differs: tuple[str, ...]
    rows: str

    @property
    def flags(self) -> str:
        """The published training as flags of `dominoes train`."""
        said = self.train.model_dump(mode="json", exclude_defaults=True)
        parts = []
        for field, value in said.items():
            flag = f"--{field.replace('_', '-')}"
            parts.append(flag if value is True else f"{flag} {value:g}" if isinstance(value, float) else f"{flag} {value}")
        return " ".join(parts)


@cache
def instances() -> Mapping[str, Instance]:
    """All standard instances by name."""
    read = yaml.safe_load(resources.files("dominoes.data").joinpath("instances.yaml").read_text(encoding="utf-8"))
    return {
        name: Instance(
            name,
            values["title"],
            values["source"],
            parse(DominoSpec, values["dataset"], where=name),
            parse(TrainSpec, values["train"], where=name),
            values["published"],
            tuple(values["differs"]),
            values["rows"],
        )
        for name, values in read.items()
    }


def named_instance(name: object) -> Instance:
    """The instance of a name. Raises SpecError."""
    known = instances()
    if isinstance(name, str) and name in known:
        return known[name]
    near = get_close_matches(str(name), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the instances are {', '.join(known)}"
    raise SpecError(f"there is no standard instance {name}; {hint}")


def expanded(values: Mapping[str, Any], *, where: str = "") -> dict[str, Any]:
    """The fields of a dataset's spec, those of a standard instance in the place of its name (`instance`). Raises SpecError."""
    found = dict(values)
    if "instance" not in found:
        return found
    instance = named_instance(found.pop("instance"))
    for field in found:
        if field not in _FREE:
            head = f"{where}: " if where else ""
            raise SpecError(f"{head}instance {instance.name} says all of the dataset but its {', '.join(_FREE)}; leave out {field}")
    return instance.dataset.model_dump(mode="json", exclude_unset=True) | found


def instances_table() -> list[dict[str, Any]]:
    """A row for each standard instance: name, title, dominoes, source, training, published numbers, differences, digest of the rows."""
    return [
        {
            "name": each.name,
            "title": each.title,
            "dominoes": each.dataset.n,
            "source": each.source,
            "dataset": each.dataset.identity(),
            "train": each.flags,
            "published": each.published,
            "differs": list(each.differs),
            "rows": each.rows,
        }
        for each in instances().values()
    ]


def instance_of(spec: DominoSpec, *, any_deal: bool = False) -> Instance | None:
    """The standard instance with exactly this spec, or but for the seed of the deal, if there is one."""
    if any_deal:
        spec = spec.model_copy(update={"seed": DominoSpec.model_fields["seed"].default})
    return next((each for each in instances().values() if each.dataset == spec), None)


def refuse_other_rows(spec: DominoSpec, metadata: str) -> None:
    """Raise DatasetError if a dataset has the spec of a standard instance but other rows (the text of its metadata.csv)."""
    instance = instance_of(spec)
    if instance is None:
        return
    found = hashlib.sha256(metadata.encode()).hexdigest()
    if found != instance.rows:
        raise DatasetError(
            f"the rows dealt here are not those of {instance.name} (SHA-256 {found[:12]}, expected {instance.rows[:12]}): the pictures lie "
            "in another order than in torchvision's files; use those, with --download or --data"
        )
