"""Scoring heads: linear layers in a row, with dropout and nothing else between them, down to one number."""

from __future__ import annotations

import torch


def linear_chain(state: dict[str, torch.Tensor]) -> torch.nn.Sequential:
    """The layers from their "<number>.weight" and "<number>.bias", in the order of their numbers.

    Raises ValueError when there is anything else, or when they do not lead to one number.
    """
    numbers = sorted({int(key.split(".")[0]) for key in state if key.split(".")[0].isdigit()})
    if not numbers or state.keys() != {f"{n}.{part}" for n in numbers for part in ("weight", "bias")}:
        raise ValueError("it holds other things than linear layers")
    layers = []
    for n in numbers:
        weight = state[f"{n}.weight"].float()
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict({"weight": weight, "bias": state[f"{n}.bias"].float()})
        layers.append(layer)
    fits = all(a.out_features == b.in_features for a, b in zip(layers, layers[1:], strict=False))
    if not fits or layers[-1].out_features != 1:
        raise ValueError("its layers do not lead to one number")
    return torch.nn.Sequential(*layers).eval().requires_grad_(False)
