"""An own table of images: written, checked, and trained on for an epoch from Python."""

from pathlib import Path

from rich.console import Console

from sm3kit.core.files import cache_root
from sm3kit.data.check import check_spec
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.runs import recipes
from sm3kit.runs.run import free_folder
from sm3kit.synthesis.layouts import write
from sm3kit.training.pretrain import pretrain

if __name__ == "__main__":
    # Put your own manifest.csv here. This one is drawn; one in ten lesions lacks the clinical picture.
    folder = Path("my-studies")
    if not folder.exists():
        write("manifest", folder, pairs=24, size=64, missing=0.1)
    spec = f"manifest:{folder / 'manifest.csv'}"

    report = check_spec(spec, {})
    print(f"{spec}: {report.studies} studies, {report.complete} of them complete")
    print("\n".join(report.problems) or "No problem found.")

    # The same words as on the command line. The first ones make it small; leave them out.
    settings = {
        "backbone": "timm/test_resnet",
        "weights": "none",
        "image_size": 32,
        "stage1": {"epochs": 1, "lr": 1e-3},
        "stage2": {"epochs": 1},
        "machine": {"workers": 0},
        "objective": ["simclr"],
        "fusion": "sep_sep",
        "options": {"crossmodal": {"temperature": 0.2}},
    }
    variant, why = recipes.resolve(recipes.Layer({"data": [spec], **settings}))
    cache = ImageCache(cache_root() / "images")
    outcome = pretrain(variant, free_folder(variant), Reporter(Console()), cache)
    print(f"Trained with {why}. The encoders are in {outcome.run.model}")
