"""Workflow templates (the page's UI JSON) as graphs for the API, checked against the server's node list.

UI JSON has widget values by position, so a widget more or less shifts every value after it without a word.
`to_api` refuses a template that differs in any way from what `/object_info` says.
"""

from .graph import Graph, choices_of, is_widget, options_of, type_of

SEED_NAMES = ("seed", "noise_seed")
CONTROLS = ("fixed", "increment", "decrement", "randomize")
NOTES = ("Note", "MarkdownNote")  # the page's own nodes: never sent


class Mismatch(ValueError):
    """The template does not fit the server's nodes; the message lists every difference."""


def to_api(workflow, info):
    """The graph to queue. info: the server's /object_info."""
    problems = check(workflow, info)
    if problems:
        raise Mismatch("\n".join(problems))
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    graph = Graph()
    for node in sent(workflow):
        inputs = {name: value for name, _, value in widgets(node, info[node["type"]]) if name}
        linked = {i["name"]: sources[i["link"]] for i in node.get("inputs", []) if i.get("link") is not None}
        graph.add(node["type"], id=node["id"], **{**inputs, **linked})
    return graph


def check(workflow, info):
    """Everything that is wrong with a template, one sentence each."""
    nodes = {node["id"]: node for node in sent(workflow)}
    problems = []
    for node in nodes.values():
        if node["type"] not in info:
            problems.append(f"{label(node)}: the server has no such node.")
        elif node.get("mode", 0) != 0:
            problems.append(f"{label(node)}: is muted or bypassed.")
        else:
            problems += check_node(node, info[node["type"]])
    return problems or [p for link in workflow["links"] for p in check_link(link, nodes, info)]


def check_node(node, known):
    """Widgets by count and type, sockets by name, required inputs by link."""
    expected, values = list(slots(known)), node.get("widgets_values", [])
    if len(values) != len(expected):
        names = [name or "(control)" for name, _ in expected]
        yield f"{label(node)}: has {len(values)} widget values, its widgets are {names}."
        return
    for name, spec, value in widgets(node, known):
        if reason := misfit(value, spec):
            yield f"{label(node)}: widget {name or 'control_after_generate'} is {value!r}, {reason}."
    sockets = {i["name"]: i.get("link") for i in node.get("inputs", [])}
    for name in sockets.keys() - all_inputs(known).keys():
        yield f"{label(node)}: has no input {name}."
    for name, spec in known["input"].get("required", {}).items():
        if not is_widget(spec) and sockets.get(name) is None:
            yield f"{label(node)}: its required input {name} is not linked."
    outputs = [o["name"] for o in node.get("outputs", [])]
    if outputs != list(known["output_name"]):
        yield f"{label(node)}: has outputs {outputs}, the server says {list(known['output_name'])}."


def check_link(link, nodes, info):
    """Both ends exist, name the same link, and their types meet."""
    number, source, source_slot, target, target_slot, kind = link
    if source not in nodes or target not in nodes:
        yield f"Link {number}: joins {source} to {target}, one of which is not there."
        return
    outputs, inputs = nodes[source].get("outputs", []), nodes[target].get("inputs", [])
    if source_slot >= len(outputs) or number not in (outputs[source_slot].get("links") or []):
        yield f"Link {number}: is not known to output {source_slot} of {label(nodes[source])}."
        return
    if target_slot >= len(inputs) or inputs[target_slot].get("link") != number:
        yield f"Link {number}: is not known to input {target_slot} of {label(nodes[target])}."
        return
    given = info[nodes[source]["type"]]["output"][source_slot]
    wanted = type_of(all_inputs(info[nodes[target]["type"]])[inputs[target_slot]["name"]])
    for name, type_ in (("the server's output", given), ("the template's", kind)):
        if not meets(type_, wanted):
            yield f"Link {number}: {name} type {type_} does not fit {inputs[target_slot]['name']} ({wanted})."


def slots(known):
    """(name, spec) of each widget in the page's order; name None for the widgets that the page adds."""
    for name, spec in all_inputs(known).items():
        if not is_widget(spec):
            continue
        yield name, spec
        options = options_of(spec)
        seed = type_of(spec) == "INT" and name in SEED_NAMES
        if options.get("control_after_generate", seed):
            yield None, ["COMBO", {"options": CONTROLS}]
        if options.get("image_upload"):
            yield None, ["STRING", {}]


def widgets(node, known):
    """(name, spec, value) of each widget of a node."""
    return [(*slot, value) for slot, value in zip(slots(known), node.get("widgets_values", []), strict=True)]


def misfit(value, spec):
    """Why a value does not fit its widget, or None."""
    kind, options = type_of(spec), options_of(spec)
    if kind == "COMBO":
        choices = list(choices_of(spec))
        return None if value in choices else f"not one of {choices[:12]}"
    types = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool}[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "BOOLEAN"):
        return f"not {kind}"
    if kind in ("INT", "FLOAT") and not options.get("min", value) <= value <= options.get("max", value):
        return f"outside {options.get('min')} to {options.get('max')}"
    return None


def sent(workflow):
    return [node for node in workflow["nodes"] if node["type"] not in NOTES]


def all_inputs(known):
    return {**known["input"].get("required", {}), **known["input"].get("optional", {})}


def meets(given, wanted):
    given = "COMBO" if isinstance(given, list) else given
    return "*" in (given, wanted) or bool(set(given.split(",")) & set(wanted.split(",")))


def label(node):
    return f"{node['type']} ({node['id']})"
