"""Three kinds of image per case, some of them missing: written, pre-trained on, and matched."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

import sm3kit

KINDS = {"photo": (200, 120, 90), "infrared": (90, 60, 180), "ultrasound": (150, 150, 150)}
numbers = np.random.default_rng(0)


def picture(place, radius, colour):
    """A spot of the case, in the colour of the kind."""
    rows, columns = np.mgrid[:48, :48]
    spot = np.hypot(rows - place[0], columns - place[1]) < radius
    noisy = np.where(spot[..., None], colour, 30) + numbers.normal(0, 9, (48, 48, 3))
    return Image.fromarray(np.uint8(noisy.clip(0, 255)))


if __name__ == "__main__":
    # Your own table needs a column of paths per kind of image, and blanks where there is none.
    folder = Path("my-cases")
    folder.mkdir(exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "split", *KINDS])
        for case in range(40):
            place, radius = numbers.uniform(14, 34, 2), numbers.uniform(4, 12)
            taken = [kind for kind in KINDS if kind == "photo" or numbers.random() < 0.8]
            names = {kind: f"{case}-{kind}.png" for kind in taken}
            for kind, name in names.items():
                picture(place, radius, KINDS[kind]).save(folder / name)
            row = [names.get(kind, "") for kind in KINDS]
            table.writerow([case, "test" if case % 4 == 0 else "train", *row])

    # Every pair of the three is contrasted; a study takes part with what it has.
    spec = f"manifest:{folder / 'manifest.csv'}"
    run = sm3kit.pretrain(spec, recipe="quick", stage="mmssl", epochs=1)
    result = run.evaluate("match")
    print(result)
    for direction, row in result.space["projection"].items():
        print(f"{direction}: mean rank {row['mean_rank']:.1f} of {row['n']}")
