"""Layers in the order in which they run, and the patterns that select them."""

import pytest
from torch import nn

from ngf_hub.errors import ModelError

from .networks import Function, Mean, classifier_of, trunk


@pytest.fixture
def classifier():
    """Defined in another order than it runs; one layer never runs."""
    network = Function(
        lambda s, x: s.fc(s.late(s.early(x)).mean((2, 3))),
        fc=nn.Linear(4, 3),
        late=nn.Sequential(nn.Conv2d(6, 6, 3, groups=3), nn.ReLU(), nn.Conv2d(6, 4, 1, bias=False)),
        never=nn.Linear(4, 3),
        early=trunk(),
    )
    return classifier_of(network)


def test_layers_stand_in_the_order_of_execution(classifier):
    assert [layer.name for layer in classifier.layers] == ["early.0", "late.0", "late.2", "fc"]
    assert [layer.depth for layer in classifier.layers] == [0, 1, 2, 3]
    assert [layer.is_head for layer in classifier.layers] == [False, False, False, True]


def test_kind_shape_and_parameters(classifier):
    assert [(layer.kind, layer.shape, layer.parameters) for layer in classifier.layers] == [
        ("conv2d", (6, 3, 3, 3), 168),
        ("grouped conv2d", (6, 2, 3, 3), 114),
        ("conv2d", (4, 6, 1, 1), 24),
        ("linear", (3, 4), 15),
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("head", ["fc"]),
        ("fc", ["fc"]),
        ("late.0", ["late.0"]),
        ("late.*", ["late.0", "late.2"]),
        ("*.0", ["early.0", "late.0"]),
        ("*", ["early.0", "late.0", "late.2", "fc"]),
        ("[el]*.0", ["early.0", "late.0"]),
    ],
)
def test_patterns(classifier, pattern, names):
    assert [layer.name for layer in classifier.select_layers(pattern)] == names


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("late.1", "late.0"),
        ("eraly.0", "early.0"),
        ("late", "'late.*'"),
        ("never", "ngf-hub layers"),
        ("LATE.*", "ngf-hub layers"),
    ],
)
def test_what_matches_nothing_gets_close_names(classifier, pattern, hint):
    with pytest.raises(ModelError) as caught:
        classifier.select_layers(pattern)
    assert hint in caught.value.hint
    assert pattern in caught.value.message


def test_head_is_not_selected_where_there_is_none():
    classifier = classifier_of(nn.Sequential(trunk(), nn.Conv2d(6, 3, 3), Mean(2, 3), nn.ReLU()))
    with pytest.raises(ModelError):
        classifier.select_layers("head")
    assert [layer.is_head for layer in classifier.layers] == [False, False]


def test_a_shared_weight_is_one_layer_under_all_its_names():
    shared = nn.Linear(6, 6)
    network = Function(
        lambda s, x: s.fc(s.c(s.b(s.a(s.trunk(x).mean((2, 3)))))),
        trunk=trunk(),
        a=shared,
        b=shared,
        c=nn.Linear(6, 6),
        fc=nn.Linear(6, 3),
    )
    network.c.weight = shared.weight
    classifier = classifier_of(network)
    assert [layer.names for layer in classifier.layers] == [
        ("trunk.0",),
        ("a", "b", "c"),
        ("fc",),
    ]
    for name in "abc":
        assert classifier.select_layers(name) == [classifier.layers[1]]
