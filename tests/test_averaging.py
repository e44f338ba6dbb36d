import torch
from torch import nn

from btxrd.training.averaging import AveragedWeights


def test_average_is_correct_and_own_weights_are_restored():
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    averages, expected = AveragedWeights(model, 0.5), 0.0
    for step in range(1, 20):
        model.weight.data.fill_(float(step))
        averages.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    with averages.in_place():
        assert torch.allclose(model.weight.detach(), torch.tensor(expected))
    assert model.weight.item() == 19


def test_running_statistics_are_averaged_too():
    model = nn.BatchNorm1d(1)
    averages = AveragedWeights(model, 0.9)
    model.running_mean.fill_(1.0)
    averages.update()
    with averages.in_place():
        assert 0 < model.running_mean.item() < 1
    assert model.running_mean.item() == 1


def test_own_weights_are_restored_after_an_error():
    model = nn.Linear(1, 1)
    averages, own = AveragedWeights(model, 0.9), model.weight.item()
    model.weight.data += 1
    try:
        with averages.in_place():
            assert model.weight.item() == own
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert model.weight.item() == own + 1
