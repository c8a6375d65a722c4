// One candidate: its picture, its scores, how it is drawn again, and what can be done with it.
import { api } from "../../scripts/api.js"
import { picture, recipe } from "./board.js"
import { say, useSeed } from "./canvas.js"
import { h, short } from "./dom.js"

/** An image of the candidate, or why there is none. */
export function image(board, lane, candidate) {
  if (board.no_pictures) return h("span", { class: "ns-no-picture" }, board.no_pictures)
  const source = api.apiURL(picture(board, lane, candidate))
  const shown = h("img", { src: source, alt: `seed ${recipe(candidate).seed}`, draggable: "false" })
  shown.addEventListener("error", () => shown.replaceWith(h("span", { class: "ns-no-picture" }, "no picture kept")))
  return shown
}

const DRAWS = { given: "the sampler's own noise", seed: "the noise of its seed" }

/** How its noise is drawn, in words. */
function origin({ draw, parent, settings, moves }) {
  const from = parent ? `, from candidate ${parent.slice(0, 6)}` : ""
  const how = Object.entries(settings).map(([name, value]) => `, ${name} ${JSON.stringify(value)}`)
  const path = moves.length ? `; ${moves.length} moves along the path` : ""
  return `${DRAWS[draw] ?? draw}${from}${how.join("")}${path}`.slice(0, 160)
}

/** Why the seed alone does not bring the image back, or "". */
function notBySeed(board, { draw, moves }) {
  if (!board.seed_at) return "There is no seed on the canvas that this search starts from."
  if (!["seed", "given"].includes(draw)) return "No seed draws this noise: use Winner Noise and Save Noise."
  return moves.length ? "This image was found on the path, not by its seed: use Winner Noise and Save Noise." : ""
}

async function copy(seed) {
  try {
    await navigator.clipboard.writeText(seed)
    say("success", `Seed ${seed} is on the clipboard.`)
  } catch {
    say("warn", `The browser does not let this page write to the clipboard. The seed is ${seed}.`)
  }
}

function start(board, seed) {
  const why = useSeed(board, seed)
  if (why) say("warn", why)
  else say("success", `The search starts from seed ${seed} now.`)
}

export function details(board, laneNumber, n, close) {
  const lane = board.lanes[laneNumber]
  const candidate = lane.candidates[n]
  const { seed, ...how } = recipe(candidate)
  const why = notBySeed(board, how)
  const scores = board.columns.map((column, k) =>
    h("div", {}, `${column.name}${column.searched ? "" : " (watched)"}: `, h("b", {}, short(candidate.row[k]))),
  )
  return [
    image(board, laneNumber, candidate),
    h(
      "div",
      { class: "ns-facts" },
      h(
        "div",
        { class: "ns-title" },
        h("span", {}, h("b", {}, `Candidate ${n}`), ` of ${lane.candidates.length}, round ${candidate.generation}`),
        h("button", { class: "ns-back", title: "Back to the best", onclick: close }, "✕"),
      ),
      h("div", {}, "Score: ", h("b", {}, short(lane.values[n])), candidate.complete ? "" : " (a preview on the path)"),
      ...scores,
      candidate.excluded ? h("div", {}, `Left out: ${candidate.excluded}`) : null,
      h("div", { class: "ns-seed" }, `seed ${seed || "–"}`),
      h("div", { class: "ns-origin" }, origin(how)),
      h(
        "div",
        { class: "ns-buttons" },
        h("button", { disabled: !seed, onclick: () => copy(seed) }, "Copy seed"),
        h("button", { disabled: Boolean(why), title: why, onclick: () => start(board, seed) }, "Use as starting point"),
      ),
    ),
  ]
}
