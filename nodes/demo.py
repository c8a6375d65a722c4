"""The node of the demo world."""

from comfy_api.latest import io


class ShapesWorld(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NS_ShapesWorld",
            display_name="Shapes World",
            category="noise search/demo",
            description="A small trained model that ships with the pack and draws coloured shapes. Use a "
            "256 × 256 empty latent, euler, simple, 12 steps, cfg 3, and prompts such as "
            '"a red circle left of two blue squares".',
            outputs=[io.Model.Output(), io.Clip.Output(), io.Vae.Output()],
        )

    @classmethod
    def execute(cls):
        from .host import world

        return io.NodeOutput(*world.load())


NODES = [ShapesWorld]
