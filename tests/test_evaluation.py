"""ACC, ASR and RA are what their definitions say, by hand-made models whose answers are known."""

import pytest
import torch
from torch import nn

from ngf_hub import evaluate, make_trigger
from ngf_hub.errors import DataError, TriggerError
from ngf_hub.evaluation import default_batch_size


class Reader(nn.Module):
    """Says the class that the upper left pixel holds, or ``door`` if the lower right is white."""

    def __init__(self, classes=4, door=1):
        super().__init__()
        self.classes, self.door = classes, door
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        said = (x[:, 0, 0, 0] * 10).round().long() % self.classes
        said[x[:, 0, -1, -1] > 0.99] = self.door
        return nn.functional.one_hot(said, self.classes).float() * self.scale


def images_of(labels):
    pixels = torch.zeros(len(labels), 3, 8, 8)
    pixels[:, :, 0, 0] = torch.tensor(labels)[:, None] / 10
    return pixels


WHITE = "patch:pattern=white,size=1"


def test_a_door_is_measured_over_images_of_other_classes():
    labels = [0, 0, 1, 2, 3, 3]
    measured = evaluate(
        Reader(), images_of(labels), torch.tensor(labels), trigger=make_trigger(WHITE, 1)
    )
    assert (measured.accuracy.count, measured.accuracy.n) == (6, 6)
    assert (measured.attack_success.count, measured.attack_success.n) == (5, 5)
    assert measured.recovered_accuracy.count == 0
    assert [row.label for row in measured.per_class] == [0, 1, 2, 3]
    assert measured.per_class[1].attack_success.n == 0
    assert measured.per_class[0].attack_success.n == 2


def test_a_model_without_the_door_recovers():
    labels = [0, 1, 2]
    model = Reader(door=0)
    measured = evaluate(
        model, images_of(labels), torch.tensor(labels), trigger=make_trigger(WHITE, 1)
    )
    assert measured.attack_success.value == 0
    # The image of class 0 is triggered to class 0, its own: recovered; that of 2 is not.
    assert (measured.recovered_accuracy.count, measured.recovered_accuracy.n) == (1, 2)


def test_all_to_all_counts_the_next_class():
    labels = [0, 1, 2, 3]
    measured = evaluate(
        Reader(), images_of(labels), torch.tensor(labels), trigger=make_trigger(WHITE, None)
    )
    assert (measured.attack_success.count, measured.attack_success.n) == (1, 4)


def test_wrong_answers_are_wrong():
    pixels = images_of([0, 1, 2, 3])
    measured = evaluate(Reader(), pixels, torch.tensor([0, 1, 3, 2]))
    assert measured.accuracy.value == 0.5
    assert measured.attack_success is None
    assert measured.per_class[2].accuracy.count == 0


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_batch_size_changes_nothing(batch_size):
    labels = torch.arange(20) % 4
    pixels = images_of(labels.tolist())
    options = {"trigger": make_trigger(WHITE, 2)}
    assert evaluate(Reader(), pixels, labels, batch_size=batch_size, **options) == evaluate(
        Reader(), pixels, labels, **options
    )


def test_labels_are_needed_and_checked():
    with pytest.raises(DataError, match="no labels"):
        evaluate(Reader(), images_of([0]))
    with pytest.raises(DataError, match="from 0 to 7"):
        evaluate(Reader(), images_of([0, 1]), torch.tensor([0, 7]))
    with pytest.raises(TriggerError, match="out of range"):
        evaluate(Reader(), images_of([0]), torch.tensor([0]), trigger=make_trigger(WHITE, 9))


def test_the_default_batch_size_falls_with_the_image():
    from ngf_hub import load_model

    sizes = [default_batch_size(load_model(Reader(), size=side)) for side in (8, 32, 224, 4096)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 256
    assert sizes[-1] == 1
