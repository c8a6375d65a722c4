"""ComfyUI in this process: its modules, its nodes as functions, its executor for whole graphs."""

import asyncio
import inspect
import sys
import uuid

from noise_search.harness import find


def verifiers_loaded():
    """ComfyUI's handles of the verifiers' models that it holds. What nobody uses any more it lists as None."""
    import comfy.model_management as mm

    return [m for m in mm.loaded_models() if m and type(m.model).__name__ == "VerifierModel"]


class Host:
    """ComfyUI imported from its folder, on the CPU, with a temporary base directory instead of its own.

    nodes: every node class by id (stock, comfy_extras, and this pack's after `load_pack()`).
    """

    def __init__(self, path, base):
        self.path, self.base, self.version = path, base, find.version(path)
        import_from(path, base)
        import execution
        import server

        import nodes

        self.nodes = nodes.NODE_CLASS_MAPPINGS
        # The real server object, not listening: nodes and progress need one to send to.
        self.loop = asyncio.new_event_loop()
        self.server = server.PromptServer(self.loop)
        self.loop.run_until_complete(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
        self.executor = execution.PromptExecutor(self.server)
        self.caught = {}
        self.nodes["Catch"] = catching(self.caught)

    def load_pack(self):
        """Register this pack's nodes, as ComfyUI does."""
        import noise_search

        async def classes():
            return await (await noise_search.comfy_entrypoint()).get_node_list()

        for cls in self.loop.run_until_complete(classes()):
            self.nodes[cls.GET_SCHEMA().node_id] = cls

    def call(self, class_type, **inputs):
        """Run one node as a function: its outputs as a tuple. Inputs left out take their defaults."""
        import torch

        cls = self.nodes[class_type]
        inputs = {**defaults(cls), **inputs}
        with torch.inference_mode():
            function = getattr(cls if hasattr(cls, "GET_SCHEMA") else cls(), cls.FUNCTION)
            result = function(**inputs)
            if inspect.isawaitable(result):
                result = self.loop.run_until_complete(result)
        return tuple(getattr(result, "result", result) or ())

    def run(self, graph, *wanted):
        """Run a graph in API form through ComfyUI's executor; the values at the links `wanted`.

        A node that raises ends the test with ComfyUI's own message; what it showed is in `self.shown`.
        """
        graph = dict(graph)
        for k, link in enumerate(wanted):
            graph[f"catch {k}"] = {"class_type": "Catch", "inputs": {"value": list(link), "slot": str(k)}}
        self.caught.clear()
        self.execute(graph)
        values = [self.caught[str(k)] for k in range(len(wanted))]
        return values[0] if len(values) == 1 else values

    def execute(self, graph, extra_pnginfo=None):
        """Validate, queue and execute, as the server's worker does. Raises what a node raised, by message."""
        import execution

        prompt_id = uuid.uuid4().hex
        valid, error, outputs, node_errors = self.loop.run_until_complete(
            execution.validate_prompt(prompt_id, graph, None)
        )
        assert valid, f"ComfyUI refuses the graph: {error} {node_errors}"
        extra = {"client_id": "test", **({"extra_pnginfo": extra_pnginfo} if extra_pnginfo else {})}
        queue = self.server.prompt_queue
        queue.put((0, prompt_id, graph, extra, outputs))
        item, item_id = queue.get()
        self.executor.execute(item[2], prompt_id, item[3], item[4])
        status = execution.PromptQueue.ExecutionStatus("", self.executor.success, [])
        queue.task_done(item_id, self.executor.history_result, status=status)
        self.shown = self.executor.history_result["outputs"]
        for kind, data in self.executor.status_messages:
            if kind in ("execution_error", "execution_interrupted"):
                raise ExecutionError(data)


class ExecutionError(Exception):
    """A node raised inside `Host.run`; `data` is ComfyUI's report (node_id, exception_type, traceback …)."""

    def __init__(self, data):
        self.data = data
        super().__init__(data.get("exception_message", "interrupted").strip())


def import_from(path, base):
    """Put ComfyUI on sys.path, on the CPU and in `base`, before any of it reads its arguments."""
    sys.path.insert(0, str(path))
    import comfy.options

    comfy.options.enable_args_parsing(False)
    from comfy.cli_args import args

    args.cpu = True
    args.base_directory = str(base)
    args.disable_api_nodes = True
    args.database_url = "sqlite:///:memory:"
    import utils.extra_config  # noqa: F401  first, as in main.py: nodes.py puts comfy/, with its utils.py, ahead


def catching(caught):
    """An output node that keeps the value it is handed."""

    class Catch:
        RETURN_TYPES, FUNCTION, OUTPUT_NODE, CATEGORY = (), "catch", True, "test"

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"value": (Any("*"), {}), "slot": ("STRING", {})}}

        @classmethod
        def IS_CHANGED(cls, **_):
            return float("nan")

        def catch(self, value, slot):
            caught[slot] = value
            return {}

    return Catch


class Any(str):
    """A socket type that equals every other."""

    __hash__ = str.__hash__

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False


def defaults(cls):
    """What the page would fill in: each input's default, or the first of a list."""
    values = {}
    for group in ("required", "optional"):
        for name, (kind, *options) in cls.INPUT_TYPES().get(group, {}).items():
            options = options[0] if options else {}
            if "default" in options:
                values[name] = options["default"]
            elif isinstance(kind, list) and kind and group == "required":
                values[name] = kind[0]
    return values
