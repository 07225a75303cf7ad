"""Predictions from Python: train, measure, and ask for one new study with its images."""

from pathlib import Path

from rich.console import Console

from sm3kit.api import visible_paths
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.deployment.predict import predict
from sm3kit.deployment.predictor import find_classifier, open_predictor
from sm3kit.deployment.question import Question
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.settings import settings_of
from sm3kit.evaluation.subject import open_subject
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs import recipes
from sm3kit.runs.run import Run, free_folder
from sm3kit.synthesis.layouts import write
from sm3kit.training.pretrain import pretrain

if __name__ == "__main__":
    images, reporter = ImageCache(None), Reporter(Console())
    small = {"backbone": "timm/test_resnet", "image_size": 32}
    small |= {"stage1": {"epochs": 1}, "machine": {"workers": 0}}
    settings = {"data": ["synthetic:60"], "stage": "mmssl", **small}
    variant, why = recipes.resolve(recipes.Layer(settings))
    run = pretrain(variant, free_folder(variant), reporter, images).run.folder

    # The evaluation leaves a classifier in the run. It is what predicts.
    subject = open_subject(run, [], images, FeatureCache(None), reporter)
    relation = subject.embedding is not None
    evaluate(subject, settings_of(variant, "probe", {"epochs": 2}, relation=relation))

    # Put a new study of yours here. A modality may be missing.
    if not Path("new").exists():
        write("manifest", Path("new"), pairs=1, size=64)
    clinic, derm = visible_paths(Path("new"), "**/*.jpg")[:2]

    trained = Run(run).trained()
    predictor = open_predictor(trained, find_classifier(trained, "probe"))
    for pictures in ({"derm": str(derm), "clinic": str(clinic)}, {"derm": str(derm)}):
        record = predict([predictor], Question(pictures), images, reporter)
        (study,) = record["studies"]
        decision = study["decisions"]["DIAG"]
        share = study["probabilities"]["DIAG"][decision]
        print(f"from {' and '.join(pictures)}: {decision} with {100 * share:.0f} %")
    print(record["statement"])
