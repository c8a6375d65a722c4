// The live panel: what a search does while it runs, on its block and on the reports that read it.
import { app } from "../../scripts/app.js"
import { api } from "../../scripts/api.js"
import { incumbents, merged, place, recipe } from "./board.js"
import { details, image } from "./candidate.js"
import { isOpen, nodeOf, say } from "./canvas.js"
import { drawCurve, nearest, sparkline } from "./curve.js"
import { duration, h, short } from "./dom.js"

const HEIGHT = 350
const FOLDED = 52
const CHART = "Best so far; the arrow keys go through the candidates"
const boards = new Map()

/** What is seen on one node. */
class Panel {
  constructor(node) {
    this.head = h("header")
    this.chart = h("div", { class: "ns-chart", tabindex: "0", role: "img", "aria-label": CHART })
    this.measures = h("div", { class: "ns-measures" })
    this.below = h("div", { class: "ns-below" })
    this.element = h("div", { class: "ns-panel" }, this.head, this.chart, this.measures, this.below)
    this.lane = 0
    this.chosen = ""
    this.chart.addEventListener("pointerdown", event => this.choose(nearest(event, this.chart, this.spots)))
    this.chart.addEventListener("keydown", event => this.step(event))
    new ResizeObserver(() => this.draw()).observe(this.chart)
    this.node = node
    this.folded = false
    const options = {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => (this.folded ? FOLDED : HEIGHT),
      getMaxHeight: () => (this.folded ? FOLDED : undefined),
    }
    node.addDOMWidget("noise_search_panel", "noise_search_panel", this.element, options).serialize = false
    this.fold(false)
  }

  /** Only its heading, or all of it; the node grows where that needs more room. */
  fold(folded) {
    this.folded = folded
    this.element.classList.toggle("ns-folded", folded)
    const [width, height] = this.node.computeSize()
    this.node.setSize([Math.max(this.node.size[0], width), Math.max(this.node.size[1], height)])
    this.draw()
  }

  show(board) {
    const another = board.search !== this.board?.search
    this.board = board
    if (another) {
      this.chosen = ""
      this.fold(Boolean(board.ended) && hasPictures(this.node))
    }
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null
      this.draw()
    })
  }

  choose(n) {
    this.chosen = this.board.lanes[this.lane].candidates[n]?.id ?? ""
    this.draw()
  }

  step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (!by || !this.spots?.length) return
    event.preventDefault()
    event.stopPropagation()
    const last = this.spots.length - 1
    this.choose(Math.min(last, Math.max(0, place(this.board.lanes[this.lane], this.chosen) + by)))
  }

  draw() {
    const board = this.board
    if (!board) return
    // Some versions of the page draw nodes in Vue and leave out widgets that are elements.
    if (!this.element.isConnected) document.querySelector(`[data-node-id="${this.node.id}"]`)?.append(this.element)
    this.lane = Math.min(this.lane, Math.max(0, board.lanes.length - 1))
    const lane = board.lanes[this.lane] ?? { candidates: [], values: [], best: [] }
    const best = incumbents(lane)
    const chosen = place(lane, this.chosen)
    this.head.replaceChildren(...this.heading(board))
    const total = board.total && board.total / Math.max(1, board.lanes.length)
    this.spots = drawCurve(this.chart, lane, best, total, board.unit, chosen)
    const finished = board.columns.slice(0, board.columns.length - board.early)
    this.measures.replaceChildren(...finished.map((column, k) => measure(column, k, lane, best)))
    const about = chosen >= 0 ? [this.chosen, lane.values[chosen], lane.candidates.length] : lane.best
    const key = JSON.stringify([board.search, this.lane, about])
    if (key === this.drawn) return // the pictures are left alone, and so is what the pointer is on
    this.drawn = key
    this.element.classList.toggle("ns-with-candidate", chosen >= 0)
    this.below.replaceChildren(
      ...(chosen >= 0
        ? details(board, this.lane, chosen, () => this.choose(-1))
        : lane.best.map(id => this.thumbnail(lane, place(lane, id)))),
    )
  }

  heading(board) {
    const total = board.total == null ? "" : ` / ${Math.round(board.total)}`
    const told = board.recalled > 0 ? `, ${board.recalled} from the history` : ""
    const left = board.left == null ? "" : `, ${duration(board.left)} left`
    const state = board.ended || (board.stopping ? "stopping" : "running")
    const fold = { title: this.folded ? "Show the panel" : "Fold the panel", onclick: () => this.fold(!this.folded) }
    const rows = board.lanes.map((_, n) => h("option", { value: n, selected: n === this.lane }, `row ${n}`))
    const which = { title: "Which image of the latent batch", onchange: event => this.row(event) }
    const stopping = { class: "ns-stop", disabled: board.stopping, onclick: () => stop(board) }
    const cost = `${board.spent}${total} ${board.unit}${told} · ${duration(board.seconds)}${left}`
    const lines = [
      h("div", { class: "ns-name" }, h("b", {}, board.name), ` · ${state}`),
      rows.length > 1 ? h("select", which, ...rows) : null,
      h("button", fold, this.folded ? "▸" : "▾"),
      h("div", { class: "ns-cost" }, cost),
      board.ended ? null : h("button", stopping, "Stop and keep the best"),
    ]
    return lines.filter(Boolean)
  }

  row(event) {
    this.lane = Number(event.target.value)
    this.chosen = ""
    this.draw()
  }

  thumbnail(lane, n) {
    const candidate = lane.candidates[n]
    return h(
      "button",
      { class: "ns-thumb", title: `Candidate ${n}: click for more`, onclick: () => this.choose(n) },
      image(this.board, this.lane, candidate),
      h("b", {}, short(lane.values[n])),
      h("span", {}, `seed ${recipe(candidate).seed}`),
    )
  }
}

/** One line: the measure of the plain image, and of the best so far. */
function measure(column, k, lane, best) {
  const numbers = best.map(b => (b < 0 ? null : lane.candidates[b].row[k]))
  const better = column.sign > 0 ? "higher is better" : "lower is better"
  return h(
    "div",
    { class: column.searched ? "" : "ns-watched", title: column.searched ? better : `only watched; ${better}` },
    h("span", {}, column.name, column.searched ? "" : " (watched)"),
    sparkline(numbers),
    h("span", {}, `${short(lane.candidates[0]?.row[k])} → `, h("b", {}, short(numbers.at(-1)))),
  )
}

async function stop(board) {
  const answer = await api.fetchApi(`/noise_search/boards/${board.search}/stop`, { method: "POST" })
  if (!answer.ok) say("warn", (await answer.json()).error)
  else take({ ...board, stopping: true, lanes: [] })
}

function attach(board) {
  if (!isOpen(board)) return
  for (const id of board.nodes) {
    const node = nodeOf(id)
    if (node?.type?.startsWith("NS_")) (node.noiseSearchPanel ??= new Panel(node)).show(board)
  }
}

function take(message) {
  const board = merged(boards.get(message.search), message)
  if (!board) return fetchAll()
  for (const other of boards.values()) {
    if (other.workflow === board.workflow && other.nodes[0] === board.nodes[0]) boards.delete(other.search)
  }
  boards.set(board.search, board)
  attach(board)
}

/** Whether it is a report that shows its own pictures: they take the panel's place. */
const hasPictures = node => node.type === "NS_SearchReport" && Boolean(app.nodeOutputs?.[node.id]?.images)

/** All that the server knows: after the page was opened, and where a message was missed. */
async function fetchAll() {
  const answer = await api.fetchApi("/noise_search/boards")
  if (!answer.ok) return
  boards.clear()
  for (const board of await answer.json()) boards.set(board.search, merged(null, board))
  attachAll()
}

const attachAll = () => [...boards.values()].forEach(attach)

app.registerExtension({
  name: "NoiseSearch.Panel",
  async setup() {
    api.addEventListener("noise_search.board", ({ detail }) => take(detail))
    api.addEventListener("reconnected", fetchAll)
    api.addEventListener("executed", ({ detail }) => {
      const node = nodeOf(detail.display_node ?? detail.node)
      if (node?.type === "NS_SearchReport") node.noiseSearchPanel?.fold(true)
    })
    // A search that was cancelled or failed says no more; the queue tells that its prompt is over.
    api.addEventListener("status", () => [...boards.values()].some(board => !board.ended) && fetchAll())
    await fetchAll()
  },
  afterConfigureGraph: attachAll,
})
