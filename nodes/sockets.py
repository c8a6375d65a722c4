"""What travels between the blocks."""

from comfy_api.latest import io

Candidates = io.Custom("NS_CANDIDATES")
Verifier = io.Custom("NS_VERIFIER")
Search = io.Custom("NS_SEARCH")
Budget = io.Custom("NS_BUDGET")
Run = io.Custom("NS_RUN")
Loop = io.Custom("NS_LOOP")
Scores = io.Custom("NS_SCORES")
