"""An own table of images: written, checked, and trained on for an epoch from Python."""

from pathlib import Path

import sm3kit
from sm3kit.data.check import check_spec
from sm3kit.synthesis.layouts import write

if __name__ == "__main__":
    # Put your own manifest.csv here. This one is synthetic; one in ten lesions lacks the clinical picture.
    folder = Path("my-studies")
    if not folder.exists():
        write("manifest", folder, pairs=24, size=64, missing=0.1)
    spec = f"manifest:{folder / 'manifest.csv'}"

    report = check_spec(spec, {})
    print(f"{spec}: {report.studies} studies, {report.complete} of them complete")
    print("\n".join(report.problems) or "No problem found.")

    # The words of the command line. The first three lines make it small; leave them out.
    run = sm3kit.pretrain(
        spec,
        backbone="test_resnet",
        weights="none",
        image_size=32,
        epochs=1,
        mlssl_epochs=1,
        objective="simclr",
        fusion="sep_sep",
        options={"crossmodal.temperature": 0.2},
    )
    print(
        f"The run is in {run.folder}, its derm backbone is {type(run.backbone('derm')).__name__}."
    )
