"""A row may learn from another one: its objective has that row's fine-tuned networks as a teacher."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sm3kit.core.errors import SM3Error, VariantError
from sm3kit.core.files import whole_file
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.grids.folder import MAKE_ANEW, REMEDY, Folder
from sm3kit.grids.plan import Task

if TYPE_CHECKING:
    from sm3kit.grids.rows import GridRow

PROTOCOL = "finetune"  # It alone leaves networks that learned from labels.


def learners(variant: Variant) -> list[str]:
    """The objectives of a variant that learn from a teacher."""
    if variant.stage == "mlssl" or not variant.stage1.epochs:
        return []
    return [name for name in variant.objective if registry("objectives").get(name).wants_teacher]


def check_teacher(variant: Variant, teacher: str, source: str) -> None:
    """Refuses a row without the teacher that it needs, or with one that it does not.

    Args:
        variant: of the row.
        teacher: the row that it names; empty for none.
        source: the row, for the message.

    Raises:
        VariantError: what is wrong, in a sentence.
    """
    names = learners(variant)
    if teacher and not names:
        raise VariantError(
            f"{source} names the teacher {teacher!r}, and none of its objectives "
            f"({', '.join(variant.objective)}) learns from one. Leave the teacher out."
        )
    for name in names:
        if not teacher and not variant.options[name]["teacher"]:
            raise VariantError(
                f"{source}: the objective {name!r} learns from a teacher. Name a row that is "
                f"fine-tuned, 'teacher: ROW', or set it in options: {{{name}: {{teacher: …}}}}."
            )


def teacher_of(row: GridRow, rows: Sequence[GridRow]) -> GridRow | None:
    """The row, at the same point of the axes, that a row learns from; None if it names none.

    Raises:
        VariantError: that row is not fine-tuned, or learns from a teacher itself.
    """
    if not row.teacher:
        return None
    teacher = next(other for other in rows if (other.row, other.axes) == (row.teacher, row.axes))
    if PROTOCOL not in teacher.protocols:
        raise VariantError(
            f"row {row.row!r}: its teacher {row.teacher!r} is not fine-tuned. Give that row "
            f"'protocols: [{', '.join([*teacher.protocols, PROTOCOL])}]'."
        )
    if teacher.teacher:
        raise VariantError(
            f"row {row.row!r}: its teacher {row.teacher!r} has a teacher itself. Name another row."
        )
    return teacher


def with_teacher(variant: Variant, folder: Folder, tasks: Mapping[str, Task], key: str) -> Variant:
    """A variant whose objectives learn from the networks that an evaluation of the grid trained.

    They are copied into the folder `eval` of the run that they come from, where a teacher is
    looked for.

    Args:
        variant: of the row that learns.
        folder: of the grid.
        tasks: {key: task} of the plan.
        key: of the evaluation.

    Raises:
        SM3Error: the networks are not there, or cannot be copied.
    """
    trained = folder.result(key).with_suffix(".safetensors")
    if not trained.is_file():
        raise SM3Error(f"{trained} is missing, the teacher of this row. {MAKE_ANEW}")
    name = f"{PROTOCOL}-{tasks[key].settings['split']}-{key}.safetensors"
    copy = folder.run(tasks[key].parent) / "eval" / name
    if not copy.is_file():
        with whole_file(copy, REMEDY) as part:
            shutil.copyfile(trained, part)
    options = {name: {**variant.options[name], "teacher": str(copy)} for name in learners(variant)}
    return dataclasses.replace(variant, options={**variant.options, **options})
