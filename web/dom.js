// Small pieces of the page that panel and dialog are made of.

const SVG = "http://www.w3.org/2000/svg"

const style = document.createElement("link")
style.rel = "stylesheet"
style.href = new URL("./style.css", import.meta.url).href
document.head.append(style)

/** An element: attributes by name, listeners as `onclick`; children that are null are left out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children)
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children)
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else if (typeof value === "boolean") element.toggleAttribute(name, value)
    else if (value != null) element.setAttribute(name, value)
  }
  element.append(...children.filter(child => child != null))
  return element
}

/** A number as a person reads it. */
export const short = x => (x == null ? "–" : String(Number(x.toPrecision(4))))

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`
}
