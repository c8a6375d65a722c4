"""What pages ask of the server and tell it: searches, candidates' pictures, stop, questions and answers.

Everything that comes in is checked; what is refused is told in one sentence.
"""

from __future__ import annotations

from aiohttp import web

from . import asking, live, page


def add() -> None:
    """To ComfyUI's server, once, while it starts."""
    for route in ROUTES if page.server() is not None else ():
        page.server().routes.route(route.method, route.path, **route.kwargs)(route.handler)


ROUTES = web.RouteTableDef()


@ROUTES.get("/noise_search/boards")
async def boards(request: web.Request) -> web.Response:
    return web.json_response([board.content() for board in list(live.BOARDS.values())])


@ROUTES.get("/noise_search/boards/{token}/{lane:[0-9]{1,6}}/{id}.jpg")
async def candidate(request: web.Request) -> web.Response:
    found = live.picture(request.match_info["token"], int(request.match_info["lane"]), request.match_info["id"])
    return _jpeg(found) if found else _refused(404, "No picture of this candidate was kept.")


@ROUTES.post("/noise_search/boards/{token}/stop")
async def stop(request: web.Request) -> web.Response:
    board = live.BOARDS.get(request.match_info["token"])
    if board is None:
        return _refused(404, "This search is not known to the server.")
    if board.ended or not page.still_runs(board.prompt_id):
        return _refused(409, "This search has ended.")
    board.stop()
    asking.leave_as_it_is(board.prompt_id)
    return web.json_response({})


@ROUTES.get("/noise_search/questions")
async def questions(request: web.Request) -> web.Response:
    return web.json_response([pending.content() for pending in list(asking.PENDING.values())])


@ROUTES.get("/noise_search/questions/{token}/{n:[0-9]{1,4}}.jpg")
async def asked_about(request: web.Request) -> web.Response:
    pending, n = asking.PENDING.get(request.match_info["token"]), int(request.match_info["n"])
    if pending is None or n >= len(pending.pictures):
        return _refused(404, "No question that waits shows this picture.")
    return _jpeg(pending.pictures[n])


@ROUTES.post("/noise_search/questions/{token}")
async def answer(request: web.Request) -> web.Response:
    """{"answer": [whole numbers]}: see Ask in verifiers/human_pick.py."""
    pending = asking.PENDING.get(request.match_info["token"])
    if pending is None:
        return _refused(404, "This question does not wait: it was answered elsewhere, its time is up, or it was "
                             "cancelled.")  # fmt: skip
    try:
        content = await request.json()
        given = asking.checked(pending.question, content.get("answer") if isinstance(content, dict) else None)
    except ValueError as why:  # JSONDecodeError is one
        return _refused(400, str(why))
    if not pending.give(given):
        return _refused(409, "This question was answered elsewhere.")
    return web.json_response({})


def _jpeg(content: bytes) -> web.Response:
    return web.Response(body=content, content_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})


def _refused(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)
