"""Noise Search: inference-time search for diffusion models as blocks on the ComfyUI canvas."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Hand ComfyUI the extension. Imported here, so that `search` and `verifiers` work without a host."""
    from .nodes import NoiseSearchExtension

    return NoiseSearchExtension()
