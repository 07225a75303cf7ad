"""What a pre-training will take is known before it begins: its steps, its memory, its record."""

import io
import json

import pytest
import timm
import torch
import yaml
from click.testing import CliRunner
from rich.console import Console

from sm3kit.cli.main import cli
from sm3kit.core.errors import TrainingError, VariantError
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.runs import recipes
from sm3kit.runs.recipes import SM3_MEMORY, Layer
from sm3kit.training import hardware, memory
from sm3kit.training.foreseeing.network_memory import network_memory
from sm3kit.training.memory import MemoryNeed
from sm3kit.training.pretrain import outline


@pytest.fixture
def outlined(tmp_path):
    """outlined(variant): what its pre-training would do."""

    def look(variant, folder=tmp_path / "run"):
        reporter = Reporter(Console(file=io.StringIO()))
        return outline(variant, folder, reporter, ImageCache(None), origin="a test")

    return look


def kept_really(network, rows, size):
    """Bytes that a real forward pass keeps for its gradients."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    own = {tensor.data_ptr() for tensor in [*network.parameters(), *network.buffers()]}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(torch.randn(rows, 3, size, size))
    del output
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in own)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_the_shapes_alone_tell_what_is_kept(name):
    network = timm.create_model(name, num_classes=0, img_size=64) if "vit" in name else (
        timm.create_model(name, num_classes=0)
    )  # fmt: skip
    real = (kept_really(network.train(), 6, 64) - kept_really(network, 2, 64)) / 4
    memory = network_memory(network, (3, 64, 64), half=False)
    assert memory.kept == pytest.approx(real, rel=0.05)
    assert memory.without_gradients < memory.kept <= memory.peak


def test_half_the_bits_are_about_half_the_memory():
    network = timm.create_model("test_resnet", num_classes=0)
    whole, half = (network_memory(network, (3, 64, 64), half=half).kept for half in (False, True))
    assert 0.4 < half / whole < 0.7


def test_a_look_changes_nothing():
    network = timm.create_model("test_resnet", num_classes=0, drop_rate=0.5).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    numbers = torch.get_rng_state()
    network_memory(network, (3, 64, 64), half=False)
    assert not network.training
    assert torch.equal(numbers, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class Remembers(torch.nn.Module):
    """Keeps a table for the next pass, and has a part that is never in train mode."""

    def __init__(self):
        super().__init__()
        self.layer, self.still = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4).eval()
        self.table = None

    def forward(self, images):
        rows = self.still(self.layer(images))
        if self.table is None:
            self.table = torch.zeros(rows.shape[-1])
        return (rows + self.table).mean((2, 3))


def test_a_network_learns_nothing_from_shapes_alone():
    network = Remembers()
    before = torch.get_rng_state()
    assert network_memory(network, (3, 8, 8), half=False).kept > 0
    assert network.table is None
    assert network.training and not network.still.training
    assert torch.equal(torch.get_rng_state(), before)
    assert network(torch.zeros(2, 3, 8, 8)).isfinite().all()


class Unforeseen(torch.nn.Module):
    """Looks at values, which shapes alone do not have."""

    def forward(self, images):
        return images.flatten(1)[:, : 1 + int(images.sum() > 0)]


def test_a_network_that_looks_at_values_has_no_estimate_and_is_trained_all_the_same(
    outlined, tiny, monkeypatch
):
    monkeypatch.setattr(
        memory,
        "network_memory",
        lambda *_, **__: network_memory(Unforeseen(), (3, 8, 8), half=False),
    )
    plan = outlined(tiny)
    assert plan.memory is None
    assert not any(line.startswith("memory") for line in plan.lines())
    assert plan.document()["memory"] is None


def test_the_need_of_the_released_settings_is_the_one_that_chooses_the_recipe(outlined):
    """On a GPU, which computes in 16 bits; the constant stands where torch is not imported."""
    released = recipes.resolve(
        Layer({"recipe": "sm3", "data": "synthetic:200", "stage1": {"precision": "bf16-mixed"}})
    )[0]
    need = outlined(released).memory
    of_gpu = need.activations + need.views + need.weights * 4 / 3 + memory.CUDA_CONTEXT
    assert 0.85 * SM3_MEMORY < of_gpu < SM3_MEMORY


def test_twice_the_batch_takes_twice_the_activations(outlined, tiny):
    from tiny_runs import altered

    once, twice = (outlined(altered(tiny, stage1={"batch_size": b})).memory for b in (6, 12))
    assert twice.activations == pytest.approx(2 * once.activations, rel=0.01)
    assert twice.weights == once.weights


def test_steps_of_both_stages(outlined, tiny2):
    look = outlined(tiny2)
    studies = len(look.start.setup.cases)
    assert look.steps == {"mmssl": (1, -(-studies // 8)), "mlssl": (2, -(-studies // 12))}


def test_a_run_in_the_folder_is_refused(outlined, tiny, stage1_run):
    with pytest.raises(VariantError):
        outlined(tiny, stage1_run)


GIB = 1024**3


@pytest.mark.parametrize(
    ("free", "text"),
    [
        (8, ""),  # The process itself is there already.
        (6, "This machine has 6.0 GiB free, and stage 1 takes about 7.0 GiB more. The system may "
            "kill the run without a message. Lower it."),
    ],
)  # fmt: skip
def test_too_little_memory_is_said_before_it_is_taken(monkeypatch, free, text):
    monkeypatch.setattr(memory, "memory_of", lambda device: (free * GIB, 16 * GIB))
    assert MemoryNeed("cpu", GIB, GIB, GIB, 5 * GIB).warning("Lower it.") == text


@pytest.mark.parametrize(("free", "never"), [(6.2, False), (6.0, True)])
def test_the_estimate_may_be_too_high(monkeypatch, free, never):
    monkeypatch.setattr(memory, "memory_of", lambda device: (int(free * GIB), 16 * GIB))
    need = MemoryNeed("cpu", GIB, GIB, GIB, 5 * GIB)
    assert (need.fits, need.fits_never) == (False, never)


def test_what_does_not_fit_is_refused_with_what_would(monkeypatch, tiny, train, outlined, tmp_path):
    """Or tried all the same, if the user wants."""
    from tiny_runs import altered

    plain = altered(tiny, image_size=128, stage1={"batch_size": 24, "monitor_every": 0})
    free = outlined(plain).memory.to_come // 2
    monkeypatch.setattr(memory, "memory_of", lambda device: (free, 16 * GIB))
    with pytest.raises(TrainingError) as caught:
        train(plain)
    said = str(caught.value)
    assert "--micro-batch 16 would take about" in said
    assert "--image-size 64 about" in said
    assert said.endswith("To try it all the same: -o machine.too_little_memory=warn.")
    assert not (tmp_path / "run" / "variant.yaml").exists()
    careless = {"image_size": 32, "machine": {"too_little_memory": "warn"}}
    monkeypatch.setattr(memory, "memory_of", lambda device: (1, 16 * GIB))
    outcome, said = train(altered(plain, **careless, stage1={"epochs": 1}))
    assert outcome.run.finished
    assert "none is enough alone." in " ".join(said.split())


def test_parts_local_views_and_ema_encoders_count(outlined, tiny):
    from tiny_runs import altered

    plain = altered(tiny, image_size=64, stage1={"batch_size": 16})
    need = outlined(plain).memory.activations
    micro = outlined(altered(plain, stage1={"micro_batch": 4})).memory.activations
    # Two views of two modalities, of which a quarter of one lives at a time.
    assert micro == pytest.approx(need / 16, rel=0.15)
    joined = altered(plain, stage1={"micro_batch": 4, "join_views": True})
    assert outlined(joined).memory.activations == pytest.approx(2 * micro, rel=0.01)
    slow = outlined(altered(plain, objective=("byol",))).memory
    assert slow.activations >= need
    assert slow.weights > outlined(plain).memory.weights


def test_more_than_there_is_at_all(monkeypatch):
    monkeypatch.setattr(memory, "memory_of", lambda device: (3 * GIB, 4 * GIB))
    said = MemoryNeed("cuda", GIB, GIB, GIB, 5 * GIB).warning("Lower it.")
    assert said == "The GPU has 4.0 GiB in all, and stage 1 takes about 8.0 GiB. Lower it."


def test_a_container_may_use_less_than_the_machine_has(monkeypatch, tmp_path):
    groups = tmp_path / "own"
    groups.write_text("0::/job/step\n")
    (tmp_path / "job" / "step").mkdir(parents=True)
    (tmp_path / "job" / "step" / "memory.max").write_text("max\n")
    (tmp_path / "job" / "memory.max").write_text("1000000\n")
    monkeypatch.setattr(hardware, "OWN_GROUPS", groups)
    monkeypatch.setattr(hardware, "GROUPS", tmp_path)
    assert hardware.memory_of("cpu") == (1_000_000, 1_000_000)


class TestDryRun:
    """`sm3kit pretrain --dry-run` shows what would be trained, and writes nothing."""

    def words(self, tmp_path, *more):
        words = ["pretrain", "--data", "synthetic:20", "--epochs", "3", "--mlssl-epochs", "2"]
        return [*words, "--out", str(tmp_path / "run"), "--dry-run", *more]

    def test_the_record_is_the_one_that_the_run_would_write(self, tmp_path):
        said = CliRunner().invoke(cli, self.words(tmp_path)).stdout
        assert not (tmp_path / "run").exists()
        shown = yaml.safe_load(said.partition("# variant.yaml\n")[2].rpartition("\nNothing")[0])
        assert said.startswith("sm3kit 0")
        assert "steps    3 in stage 1 (3 epochs of 1), 2 in stage 2 (2 epochs of 1)" in said
        assert "\nmemory   about " in said
        words = [word for word in self.words(tmp_path) if word != "--dry-run"]
        assert CliRunner().invoke(cli, words).exit_code == 0
        assert yaml.safe_load((tmp_path / "run" / "variant.yaml").read_text()) == shown

    def test_json(self, tmp_path):
        result = CliRunner().invoke(cli, self.words(tmp_path, "--json"))
        document = json.loads(result.stdout)
        assert document["steps"]["mmssl"] == {"epochs": 3, "per_epoch": 1}
        assert document["memory"]["total"] > 100_000_000
        assert document["variant"]["recipe"] == ["quick"]
        assert not (tmp_path / "run").exists()

    def test_weights_are_not_fetched(self, tmp_path):
        more = ("--recipe", "small", "--image-size", "32")
        result = CliRunner().invoke(cli, self.words(tmp_path, *more))
        assert result.exit_code == 0, result.output
        assert "weights  imagenet, downloaded by timm" in result.stdout
