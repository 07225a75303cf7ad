"""Which labelled studies meet in a batch."""

from __future__ import annotations

from sm3kit.core.errors import VariantError
from sm3kit.data.epoch_batches import Draw, EpochBatches
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.networks.assemble import build_plugin
from sm3kit.nn.processes import from_first, process_count, process_rank
from sm3kit.training.pseudo_labels.clusters import PseudoLabel, clusters_of


def order_of_training(
    subject: Subject, settings: Settings, *, divided: bool = False
) -> EpochBatches:
    """Which training studies meet in a batch.

    Args:
        divided: this process has its share of each batch, as all others have.

    Raises:
        VariantError: the share is too small to fine-tune networks on.
    """
    cases = subject.cases("train", labelled=True)
    sampler = build_plugin("samplers", settings.sampler, settings.options)
    draw = Draw.of_cases(sampler, cases, subject.pool.labels)
    if sampler.on == "clusters":
        labels = [PseudoLabel(label.name, len(label.classes)) for label in subject.pool.labels]
        doing = f"--sampler {settings.sampler}"
        clusters = clusters_of(subject.joint(cases), labels, subject.variant, doing)
        draw.labels = from_first(clusters).numpy()
    if not divided:
        return EpochBatches(len(cases), settings.batch_size, settings.seed, draw=draw)
    # Batch norms have no statistics of a single study.
    least = 2 * (process_count() if settings.protocol == "finetune" else 1)
    if min(settings.batch_size, len(cases)) < least:
        raise VariantError(
            f"Fine-tuning in {process_count()} processes needs batches of {least} labelled studies or "
            f"more, two for each. --batch-size is {settings.batch_size}, and the split train has "
            f"{len(cases)} of them. Use fewer --devices."
        )
    return EpochBatches(
        len(cases),
        settings.batch_size,
        settings.seed,
        draw=draw,
        rank=process_rank(),
        world=process_count(),
        least=least,
        divide=True,
    )
