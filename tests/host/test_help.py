"""What a person reads about a node: description, tooltips, help page."""

from noise_search.harness import workflow


def ours(client):
    return {id: known for id, known in client.object_info().items() if id.startswith("NS_")}


def test_every_node_says_what_it_does_and_every_input_what_it_is(client):
    for id, known in ours(client).items():
        assert known["description"] and known["category"].startswith("noise search/"), id
        for name, spec in workflow.all_inputs(known).items():
            assert workflow.options_of(spec).get("tooltip"), f"{id}: {name}"


def test_every_node_has_a_help_page_that_names_its_inputs(client):
    for id, known in ours(client).items():
        page = client.get(f"/extensions/noise-search/docs/{id}.md").text
        assert page.startswith(f"# {known['display_name']}\n"), id
        for name in workflow.all_inputs(known):
            assert name.rstrip("_0123456789").replace("_", " ") in page.replace("_", " "), f"{id}: {name}"
