"""Self-supervised learning on paired medical images.

    import sm3kit

    run = sm3kit.pretrain("manifest:my.csv", objective="simclr", fusion="sep_sep", epochs=50)
    result = run.evaluate("probe")
    print(result.mean["auc"], result.table().to_latex())
    run.predict(derm="a.jpg", clinic="b.jpg")

The words are those of the command line. What a plugin is written with is in `sm3kit.api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sm3kit.core.errors import SM3Error
    from sm3kit.python.ablation import Ablation, ablate, open_ablation
    from sm3kit.python.evaluating import Result, evaluate
    from sm3kit.python.predicting import Prediction, Predictions, predict, predict_studies
    from sm3kit.python.pretraining import pretrain
    from sm3kit.python.run import Run, open_run

__version__ = "0.1.0"
__all__ = [
    "Ablation",
    "Prediction",
    "Predictions",
    "Result",
    "Run",
    "SM3Error",
    "ablate",
    "evaluate",
    "open_ablation",
    "open_run",
    "predict",
    "predict_studies",
    "pretrain",
]
# Where each name is; imported on first use, because torch takes seconds.
_HOMES = {
    "SM3Error": "core.errors",
    **dict.fromkeys(("Ablation", "ablate", "open_ablation"), "python.ablation"),
    **dict.fromkeys(("Result", "evaluate"), "python.evaluating"),
    **dict.fromkeys(
        ("Prediction", "Predictions", "predict", "predict_studies"), "python.predicting"
    ),
    "pretrain": "python.pretraining",
    **dict.fromkeys(("Run", "open_run"), "python.run"),
}


def __getattr__(name: str) -> Any:
    """What `__all__` names, imported on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sm3kit' has no attribute {name!r}")
    import importlib

    from sm3kit.core.libraries import hush

    hush("tqdm")  # In a notebook it asks for widgets, which nothing here shows.
    value = getattr(importlib.import_module(f"sm3kit.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """What users call."""
    return sorted([*__all__, "__version__", "api"])
