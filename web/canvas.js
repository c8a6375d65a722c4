// Where a search meets the graph on the canvas.
import { app } from "../../scripts/app.js"

/** The node that the server calls by this id; "12:5" is node 5 in the subgraph of node 12. */
export function nodeOf(id) {
  let graph = app.graph.rootGraph ?? app.graph
  let node = null
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById(Number(part)) ?? null
    graph = node?.subgraph
  }
  return node
}

/** Whether a board is of the graph that is open. */
export const isOpen = board => board.workflow != null && board.workflow === (app.graph.rootGraph ?? app.graph).id

/** Type a seed where the search takes its own from, for good; as one step that can be undone. Why not, or "". */
export function useSeed(board, seed) {
  const [id, name] = board.seed_at ?? []
  const node = id && nodeOf(id)
  const widget = node?.widgets?.find(w => w.name === name)
  if (!widget) return "The node that the seed would go to is not on this canvas."
  if (!Number.isSafeInteger(Number(seed))) return "This seed has more digits than the page can hold."
  const changes = app.extensionManager?.workflow?.activeWorkflow?.changeTracker
  changes?.checkState()
  widget.value = Number(seed)
  widget.callback?.(widget.value)
  const control = node.widgets.find(w => w.name === "control_after_generate")
  if (control) control.value = "fixed"
  node.setDirtyCanvas(true, true)
  changes?.checkState()
  return ""
}

export const say = (severity, summary) => app.extensionManager?.toast?.add({ severity, summary, life: 5000 })
