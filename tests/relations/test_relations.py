"""Label relations: shapes, attention, torch's own layers, no order among labels."""

import pytest
import torch
from torch import nn

from sm3kit.relations.msa import MSA
from sm3kit.relations.none import NoRelation
from sm3kit.relations.proj import Proj
from sm3kit.relations.te import TE
from sm3kit.relations.tel import TEL

WIDTH, LABELS, EMBEDDING = 6, 3, 8
PROJECTING = [Proj, MSA, TEL, TE]
ATTENDING = [MSA, TEL, TE]
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # float32; torch may take a fused path.


def features(rows=4):
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(0))


def built(relation, **options):
    torch.manual_seed(0)
    return relation(WIDTH, LABELS, embedding=EMBEDDING, **options).eval()


@pytest.mark.parametrize("relation", PROJECTING)
@pytest.mark.parametrize("rows", [1, 4])
def test_shapes(relation, rows):
    one = built(relation)
    assert one(features(rows)).shape == (rows, LABELS, EMBEDDING)
    assert (one.width, one.labels, one.embedding) == (WIDTH, LABELS, EMBEDDING)


@pytest.mark.parametrize("relation", PROJECTING)
def test_one_label_is_enough(relation):
    assert relation(WIDTH, 1, embedding=EMBEDDING).eval()(features()).shape == (4, 1, EMBEDDING)


@pytest.mark.parametrize("relation", PROJECTING)
def test_the_embedding_of_the_paper(relation):
    assert relation(WIDTH, LABELS).embedding == 512


@pytest.mark.parametrize("relation", ATTENDING)
@pytest.mark.parametrize("heads", [1, 4])
def test_rows_of_attention_sum_to_one(relation, heads):
    weights = built(relation, heads=heads).attention(features())
    assert weights.shape == (4, heads, LABELS, LABELS)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, heads, LABELS), **CLOSE)


@pytest.mark.parametrize("relation", [NoRelation, Proj])
def test_without_attention(relation):
    assert relation(WIDTH, LABELS).attention(features()) is None


def test_no_relation_is_the_feature_itself():
    one = NoRelation(WIDTH, LABELS)
    out = one(features())
    assert out.shape == (4, LABELS, WIDTH)
    assert (one.width, one.labels, one.embedding) == (WIDTH, LABELS, WIDTH)
    for label in range(LABELS):
        assert torch.equal(out[:, label], features())
    assert list(one.parameters()) == []


def test_proj_keeps_labels_apart():
    one = built(Proj)
    out = one(features())
    for label, head in enumerate(one.project.heads):
        assert torch.equal(out[:, label], head(features()))


def test_tel_is_the_layer_of_torch():
    one = built(TEL, heads=2, feedforward=5)
    layer = nn.TransformerEncoderLayer(EMBEDDING, 2, 5, 0.1, batch_first=True).eval()
    layer.load_state_dict(one.layer.state_dict())
    torch.testing.assert_close(one(features()), layer(one.project(features())), **CLOSE)


def test_tel_by_hand():
    """Post-norm: x + attention, norm, x + ReLU network, norm; no position."""
    one = built(TEL, feedforward=5)
    x = one.project(features())
    layer = one.layer
    attended = layer.self_attn(x, x, x)[0]
    x = nn.functional.layer_norm(x + attended, (EMBEDDING,), layer.norm1.weight, layer.norm1.bias)
    forward = layer.linear2(torch.relu(layer.linear1(x)))
    x = nn.functional.layer_norm(x + forward, (EMBEDDING,), layer.norm2.weight, layer.norm2.bias)
    torch.testing.assert_close(one(features()), x, **CLOSE)


def test_the_tel_of_the_paper():
    one = TEL(WIDTH, LABELS)
    assert one.layer.self_attn.num_heads == 1
    assert one.layer.linear1.out_features == 128
    assert one.layer.dropout.p == one.layer.self_attn.dropout == 0.1
    assert not one.layer.norm_first
    assert one.layer.activation is nn.functional.relu


def test_te_of_one_layer_is_tel():
    one, other = built(TE, layers=1), built(TEL)
    one.project.load_state_dict(other.project.state_dict())
    one.layers[0].load_state_dict(other.layer.state_dict())
    assert torch.equal(one(features()), other(features()))
    assert torch.equal(one.attention(features()), other.attention(features()))


def test_te_is_layer_after_layer():
    one = built(TE, layers=3)
    assert len(one.layers) == 3
    x = one.project(features())
    for layer in one.layers[:-1]:
        x = layer(x)
    last = one.layers[-1]
    torch.testing.assert_close(one(features()), last(x), **CLOSE)
    # The attention is that of the last layer.
    weights = last.self_attn(x, x, x, average_attn_weights=False)[1]
    torch.testing.assert_close(one.attention(features()), weights, **CLOSE)
    first, second = (one.layers[place].linear1.weight for place in (0, 1))
    assert not torch.equal(first, second)


def test_msa_is_attention_alone_without_residual():
    """Softmax of queries and keys, times values, through the output layer; by hand."""
    one = built(MSA)
    x = one.project(features())
    attend = one.attend
    query, key, value = nn.functional.linear(x, attend.in_proj_weight, attend.in_proj_bias).chunk(
        3, dim=-1
    )
    weights = torch.softmax(query @ key.transpose(1, 2) / EMBEDDING**0.5, dim=-1)
    torch.testing.assert_close(one.attention(features())[:, 0], weights, **CLOSE)
    torch.testing.assert_close(one(features()), attend.out_proj(weights @ value), **CLOSE)


def test_msa_with_residual_adds_its_input():
    one, other = built(MSA), built(MSA, residual=True)
    other.load_state_dict(one.state_dict())
    expected = one(features()) + one.project(features())
    torch.testing.assert_close(other(features()), expected, **CLOSE)


@pytest.mark.parametrize("relation", PROJECTING)
def test_labels_have_no_order(relation):
    """Swapping the projections of two labels swaps their embeddings and nothing else."""
    one, other = built(relation), built(relation)
    other.load_state_dict(one.state_dict())
    order = [2, 0, 1]
    other.project.heads = nn.ModuleList(one.project.heads[label] for label in order)
    torch.testing.assert_close(other(features()), one(features())[:, order], **CLOSE)
    if relation in ATTENDING:
        turned = one.attention(features())[:, :, order][:, :, :, order]
        torch.testing.assert_close(other.attention(features()), turned, **CLOSE)


@pytest.mark.parametrize("relation", PROJECTING)
def test_studies_do_not_know_of_each_other(relation):
    one = built(relation)
    torch.testing.assert_close(one(features())[1:2], one(features()[1:2]), **CLOSE)


@pytest.mark.parametrize(
    ("relation", "related"), [(Proj, False), *((one, True) for one in ATTENDING)]
)
def test_labels_know_of_each_other(relation, related):
    """A label's embedding depends on another label's projection where there is a relation."""
    one = built(relation)
    before = one(features())[:, 0]
    with torch.no_grad():
        one.project.heads[2].weight.mul_(5)
    assert torch.equal(one(features())[:, 0], before) is not related


@pytest.mark.parametrize("relation", ATTENDING)
def test_dropout_is_for_training_only(relation):
    one = built(relation, dropout=0.5)
    assert torch.equal(one(features()), one(features()))
    one.train()
    assert not torch.equal(one(features()), one(features()))


@pytest.mark.parametrize("relation", PROJECTING)
def test_gradients_reach_every_parameter(relation):
    one = built(relation).train()
    one(features()).pow(2).mul(torch.rand(4, LABELS, EMBEDDING)).sum().backward()
    for name, parameter in one.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
