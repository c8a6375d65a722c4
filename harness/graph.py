"""Graphs in ComfyUI's API form, written as plain calls:

g = Graph()
model, clip, vae = g.add("CheckpointLoaderSimple", ckpt_name="x.safetensors").out(3)
text = g.add("CLIPTextEncode", clip=clip, text="a red circle")
g.add("SaveImage", images=image, filename_prefix="x")
"""


class Node(list):
    """A node that was added. As a link it is its first output; `node.at(1)` is the second."""

    def __init__(self, node_id):
        super().__init__([node_id, 0])
        self.id = node_id

    def at(self, output):
        return [self.id, output]

    def out(self, count):
        return [self.at(k) for k in range(count)]


class Graph(dict):
    """The API form itself: node id → class_type and inputs. Hand it to `Client.run` as it is."""

    def add(self, class_type, /, id=None, **inputs):
        node = Node(str(id or len(self) + 1))
        self[node.id] = {"class_type": class_type, "inputs": inputs}
        return node

    def set(self, node, **inputs):
        """Change inputs of a node that was added, as a person would before queueing again."""
        self[getattr(node, "id", node)]["inputs"].update(inputs)
        return self

    def fill(self, info):
        """Give every widget that was left out its default, as the page does. info: /object_info."""
        for node in self.values():
            for name, spec in info[node["class_type"]]["input"].get("required", {}).items():
                if name not in node["inputs"] and is_widget(spec):
                    node["inputs"][name] = default(spec)
        return self


WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


def is_widget(spec):
    """Whether an input of /object_info is typed into the node rather than linked."""
    return type_of(spec) in WIDGETS and not options_of(spec).get("forceInput")


def default(spec):
    options = options_of(spec)
    choices = choices_of(spec)
    return options.get("default", choices[0] if choices else "")


def choices_of(spec):
    return spec[0] if isinstance(spec[0], list) else options_of(spec).get("options", [])


def type_of(spec):
    return "COMBO" if isinstance(spec[0], list) else spec[0]


def options_of(spec):
    return spec[1] if len(spec) > 1 else {}
