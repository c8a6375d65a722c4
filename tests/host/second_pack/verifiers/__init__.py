"""Their way to judge: the mean of a latent."""


def brightness(latent):
    return float(latent.mean())
