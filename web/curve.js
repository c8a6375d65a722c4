// The curve: each candidate a dot, the line the best so far, against what was spent.
import { short, svg } from "./dom.js"

const LEFT = 44
const RIGHT = 8
const TOP = 8
const BOTTOM = 18
const NEAR = 60

function extent(numbers) {
  let low = Infinity
  let high = -Infinity
  for (const x of numbers) {
    low = Math.min(low, x)
    high = Math.max(high, x)
  }
  return low < high ? [low, high] : low === high ? [low - 0.5, high + 0.5] : [0, 1]
}

/** Draws a lane into the element `into`; returns where each candidate is drawn. best: see `incumbents`. */
export function drawCurve(into, lane, best, total, unit, chosen) {
  const width = Math.max(into.clientWidth, 120)
  const height = Math.max(into.clientHeight, 80)
  const { candidates, values } = lane
  const [low, high] = extent(values.filter(value => value != null))
  const most = Math.min(total ?? Infinity, 1.25 * (candidates.at(-1)?.at ?? 1)) // room to grow, as far as it can
  const x = at => LEFT + ((width - LEFT - RIGHT) * at) / most
  const y = value => TOP + (height - TOP - BOTTOM) * (1 - (value - low) / (high - low))
  const spots = candidates.map((candidate, n) => [x(candidate.at), values[n] == null ? height - BOTTOM : y(values[n])])

  const dots = kept => spots.filter((_, n) => kept(candidates[n], n)).map(([a, b]) => `M${a} ${b}h0`).join("")
  const steps = best.map((b, n) => (b < 0 ? null : [spots[n][0], y(values[b])])).filter(Boolean)
  const line = steps.map(([a, b], n) => (n ? `H${a}V${b}` : `M${a} ${b}`)).join("")
  const plain = values[0] == null ? null : y(values[0])
  const text = (content, a, b, anchor) => svg("text", { x: a, y: b, "text-anchor": anchor }, content)
  const scale = [text(short(high), LEFT - 5, TOP + 8, "end"), text(short(low), LEFT - 5, height - BOTTOM, "end")]
  const [a, b] = spots[chosen] ?? []
  const picture = svg(
    "svg",
    { width: "100%", height: "100%", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" },
    svg("path", { class: "ns-axis", d: `M${LEFT} ${TOP}V${height - BOTTOM}H${width - RIGHT}` }),
    plain == null ? null : svg("path", { class: "ns-plain", d: `M${LEFT} ${plain}H${width - RIGHT}` }),
    svg("path", { class: "ns-dots", d: dots((c, n) => c.complete && values[n] != null) }),
    svg("path", { class: "ns-dots ns-previews", d: dots(c => !c.complete) }),
    svg("path", { class: "ns-dots ns-left-out", d: dots((c, n) => c.complete && values[n] == null) }),
    svg("path", { class: "ns-line", d: line }),
    a == null ? null : svg("circle", { class: "ns-chosen", cx: a, cy: b, r: 7 }),
    ...(candidates.length ? scale : []),
    text("0", LEFT, height - 4, "middle"),
    text(`${Math.round(most)} ${unit}`, width - RIGHT, height - 4, "end"),
  )
  into.replaceChildren(picture)
  return spots
}

/** The candidate drawn nearest to a click, or -1. */
export function nearest(event, element, spots) {
  const box = element.getBoundingClientRect()
  const scale = element.clientWidth / box.width // the canvas may be zoomed
  const [a, b] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale]
  let found = -1
  let least = NEAR ** 2
  spots.forEach(([x, y], n) => {
    const distance = (x - a) ** 2 + (y - b) ** 2
    if (distance <= least) [found, least] = [n, distance]
  })
  return found
}

/** One measure of the best so far, small. */
export function sparkline(numbers) {
  const [low, high] = extent(numbers.filter(x => x != null))
  const across = n => (60 * n) / Math.max(1, numbers.length - 1)
  const up = x => 14 - (12 * (x - low)) / (high - low)
  const points = numbers.flatMap((x, n) => (x == null ? [] : [`${across(n)},${up(x)}`])).join(" ")
  return svg("svg", { viewBox: "-1 0 62 16", class: "ns-spark" }, svg("polyline", { points }))
}
