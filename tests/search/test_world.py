"""The analytic world against closed forms, so that what the other tests measure in it means something."""

import math

import pytest
import torch

from .worlds import Flow, Mixture, straight


def noises(n=4):
    return torch.randn(n, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_point_of_data_is_reached_exactly_in_any_number_of_steps():
    mean = torch.arange(4.0).view(1, 1, 2, 2)
    flow = Flow(Mixture(mean, spread=0), straight(3))
    ends = flow.advance(flow.start(noises()), 0, 3, [""] * 4)
    torch.testing.assert_close(ends, mean.double().expand(4, 1, 2, 2))


def test_euler_converges_to_the_quantile_map_of_one_gaussian():
    flow = Flow(Mixture(torch.ones(1, 1, 2, 2), spread=0.5), straight(400))
    ends = flow.advance(flow.start(noises()), 0, 400, [""] * 4)
    torch.testing.assert_close(ends, 1 + 0.5 * noises(), atol=5e-3, rtol=0)


def test_the_denoiser_is_the_posterior_mean_of_a_mixture():
    # One dimension, two points at -1 and 1: E[x0 | x] = tanh((1 - σ) x / σ²).
    denoise = Mixture(torch.tensor([[-1.0], [1.0]]), spread=0)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).view(-1, 1)
    torch.testing.assert_close(denoise(x, 0.6), torch.tanh(0.4 * x / 0.36))


def test_evaluations_are_counted_by_rows():
    denoise = Mixture(torch.zeros(1, 1, 2, 2), spread=1)
    flow = Flow(denoise, straight(5))
    states = flow.advance(flow.start(noises(3)), 0, 4, [""] * 3)
    assert denoise.rows == 3 * 4
    flow.preview(states, 4)
    assert denoise.rows == 3 * 4 + 3
    flow.preview(states, 5)
    assert denoise.rows == 3 * 4 + 3


@pytest.mark.parametrize(("i", "j"), [(3, 2), (4, 1), (2, 0)])
def test_renoised_states_have_the_marginal_of_the_higher_level(i, j):
    n, mean, spread = 40_000, 0.7, 0.4
    flow = Flow(Mixture(torch.full((1, 1), mean), spread), straight(5))
    generator = torch.Generator().manual_seed(1)
    x0, e, fresh = (torch.randn(n, 1, generator=generator, dtype=torch.float64) for _ in range(3))
    low, high = flow.sigmas[i], flow.sigmas[j]
    raised = flow.renoise((1 - low) * (mean + spread * x0) + low * e, i, j, fresh)
    variance = (1 - high) ** 2 * spread**2 + high**2
    assert abs(raised.mean().item() - (1 - high) * mean) < 4 * math.sqrt(variance / n)
    assert abs(raised.var().item() - variance) < 4 * variance * math.sqrt(2 / n)


def test_renoising_to_the_top_is_pure_noise():
    flow = Flow(Mixture(torch.zeros(1, 1, 2, 2), 1), straight(5))
    torch.testing.assert_close(flow.renoise(noises() + 9, 2, 0, noises().flip(0)), noises().flip(0))
