"""An Inception v3 with seeded random weights, in the layouts it is published in: FID's file and torchvision's."""

import torch

FID_CLASSES, TORCHVISION_CLASSES = 1008, 1000
POOL = "branch_pool"
BRANCHES = {
    **dict.fromkeys(
        ("5b", "5c", "5d"),
        ("branch1x1", "branch5x5_1", "branch5x5_2", "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3", POOL),
    ),
    "6a": ("branch3x3", "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
    **dict.fromkeys(
        ("6b", "6c", "6d", "6e"),
        ("branch1x1", "branch7x7_1", "branch7x7_2", "branch7x7_3", *(f"branch7x7dbl_{n}" for n in range(1, 6)), POOL),
    ),
    "7a": ("branch3x3_1", "branch3x3_2", *(f"branch7x7x3_{n}" for n in range(1, 5))),
    **dict.fromkeys(
        ("7b", "7c"),
        ("branch1x1", "branch3x3_1", "branch3x3_2a", "branch3x3_2b", "branch3x3dbl_1", "branch3x3dbl_2",
         "branch3x3dbl_3a", "branch3x3dbl_3b", POOL),
    ),
}  # fmt: skip
STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
CONVOLUTION = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")


def published_names(classes=FID_CLASSES):
    """Of the tensors in the published file, but for counters of batches."""
    layers = [*STEM, *(f"Mixed_{block}.{branch}" for block, branches in BRANCHES.items() for branch in branches)]
    if classes == TORCHVISION_CLASSES:
        layers += ["AuxLogits.conv0", "AuxLogits.conv1"]
    names = {f"{layer}.{part}" for layer in layers for part in CONVOLUTION} | {"fc.weight", "fc.bias"}
    return names | ({"AuxLogits.fc.weight", "AuxLogits.fc.bias"} if classes == TORCHVISION_CLASSES else set())


def state_dict(classes=FID_CLASSES, seed=0):
    """Every tensor drawn: signals neither fade nor grow."""
    from torchvision.models.inception import Inception3

    draw = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        empty = Inception3(classes, aux_logits=classes == TORCHVISION_CLASSES, init_weights=False).state_dict()
    state = {}
    for name in sorted(published_names(classes)):
        noise = torch.randn(empty[name].shape, generator=draw)
        if noise.ndim > 1:
            state[name] = noise * (2 / noise[0].numel()) ** 0.5
        elif name.endswith("running_var"):
            state[name] = 1 + 0.2 * noise.abs()
        else:
            state[name] = 0.1 * noise + name.endswith("bn.weight")
    return state


def file(path, classes=FID_CLASSES, seed=0):
    """As `pt_inception-2015-12-05-6726825d.pth` and `inception_v3_google-0cc3c7bd.pth` are."""
    torch.save(state_dict(classes, seed), path)
    return path
