// Asks a person: the candidates side by side, by mouse or keyboard. Whichever page answers first has answered.
import { app } from "../../scripts/app.js"
import { api } from "../../scripts/api.js"
import { say } from "./canvas.js"
import { duration, h } from "./dom.js"

const PICK = "pick the best"
const RATE = "rate 1 to 10"
const HOW = {
  [PICK]: "Click the best, or press its number; Enter confirms. Arrow keys move, double click answers at once.",
  rank: "Click the images from best to worst, or press their numbers; again takes one out. Others share the last place.",
  [RATE]: "Choose an image with a click or the arrow keys, then press 1 to 9, or 0 for 10; Enter confirms.",
}
const WAITS = "Noise Search waits for your choice: click to see the images"
const TITLES = {
  [PICK]: "Which is the best?",
  rank: "Which is best, which next?",
  [RATE]: "How good is each, from 1 to 10?",
}
const questions = new Map()
let open = null

/** The dialog of one question. `order`: images the best first; `ratings`: 1 to 10, or null. */
class Picker {
  constructor(question) {
    this.question = question
    this.order = []
    this.ratings = Array(question.count).fill(null)
    this.figures = this.ratings.map((_, n) => this.figure(n))
    this.clock = h("span", { class: "ns-clock" })
    this.confirm = h("button", { class: "ns-confirm", onclick: () => this.send() })
    const about = question.about.join(" · ").slice(0, 200)
    const none = question.best == null ? "None is better than another" : "None is better: keep the best so far"
    this.element = h(
      "dialog",
      { class: "ns-picker", "aria-label": "Noise Search asks", onkeydown: event => this.key(event) },
      h("header", {}, h("b", {}, question.text || TITLES[question.way]), h("span", {}, about), this.clock),
      h("p", {}, HOW[question.way]),
      h("div", { class: "ns-table" }, ...this.figures),
      h(
        "footer",
        {},
        question.way === RATE ? null : h("button", { class: "ns-none", onclick: () => this.none() }, none),
        h("button", { class: "ns-later", onclick: () => this.later() }, "Look at the graph first"),
        this.confirm,
      ),
    )
    this.element.addEventListener("cancel", event => {
      event.preventDefault() // Escape
      this.later()
    })
    const rows = Math.ceil(question.count / Math.ceil(Math.sqrt(question.count * 1.6))) // a screen is wide
    this.element.style.setProperty("--ns-columns", Math.ceil(question.count / rows))
    this.ends = question.seconds_left == null ? null : Date.now() + 1000 * question.seconds_left
    this.timer = setInterval(() => this.tick(), 500)
    document.body.append(this.element)
    this.element.showModal()
    this.figures[0].focus()
    this.draw()
    this.tick()
  }

  figure(n) {
    const source = api.apiURL(`/noise_search/questions/${this.question.token}/${n}.jpg`)
    const best = n === this.question.best
    return h(
      "button",
      { class: `ns-choice${best ? " ns-standing" : ""}`, onclick: () => this.toggle(n), ondblclick: () => this.only(n) },
      h("img", { src: source, alt: `Image ${n + 1}`, draggable: "false" }),
      h("span", { class: "ns-number" }, `${n + 1}`),
      best ? h("span", { class: "ns-tag" }, "best so far") : null,
      h("span", { class: "ns-mark" }),
    )
  }

  toggle(n) {
    const { way } = this.question
    if (way === PICK) this.order = this.order[0] === n ? [] : [n]
    else if (way !== RATE) this.order = this.order.includes(n) ? this.order.filter(m => m !== n) : [...this.order, n]
    this.figures[n].focus()
    this.draw()
  }

  only(n) {
    if (this.question.way !== PICK) return
    this.order = [n]
    this.send()
  }

  none() {
    this.order = this.question.best == null ? [] : [this.question.best]
    this.send()
  }

  rate(n, rating) {
    this.ratings[n] = rating
    const next = this.ratings.findIndex((r, m) => r == null && m > n)
    this.figures[next >= 0 ? next : n].focus()
    this.draw()
  }

  key(event) {
    event.stopPropagation() // not the canvas' shortcuts
    const at = this.figures.indexOf(document.activeElement)
    const columns = getComputedStyle(this.figures[0].parentElement).gridTemplateColumns.split(" ").length
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key]
    const digit = /^[0-9]$/.test(event.key) ? Number(event.key) || 10 : 0
    if (by) this.figures[Math.min(this.figures.length - 1, Math.max(0, at + by))].focus()
    else if (digit && this.question.way === RATE && at >= 0) this.rate(at, digit)
    else if (digit && digit <= this.figures.length) this.toggle(digit - 1)
    else if (event.key === "Enter" && (at >= 0 || event.target === this.confirm) && this.ready) this.send()
    else return
    event.preventDefault()
  }

  get ready() {
    return this.question.way === RATE ? this.ratings.every(Boolean) : this.order.length > 0
  }

  draw() {
    const { way } = this.question
    this.figures.forEach((figure, n) => {
      const at = this.order.indexOf(n)
      const mark = way === RATE ? this.ratings[n] : at < 0 ? null : way === PICK ? "✓" : at + 1
      figure.classList.toggle("ns-picked", mark != null)
      figure.setAttribute("aria-pressed", String(mark != null))
      figure.querySelector(".ns-mark").textContent = mark ?? ""
    })
    const missing = this.ratings.filter(r => r == null).length
    this.confirm.disabled = !this.ready
    this.confirm.textContent = way === RATE && missing ? `${missing} to rate` : "Confirm (Enter)"
  }

  tick() {
    if (this.ends) this.clock.textContent = `${duration(Math.max(0, (this.ends - Date.now()) / 1000))} left`
  }

  async send() {
    const answer = this.question.way === RATE ? this.ratings : this.order
    const post = { method: "POST", body: JSON.stringify({ answer }), headers: { "Content-Type": "application/json" } }
    const told = await api.fetchApi(`/noise_search/questions/${this.question.token}`, post)
    if (!told.ok) say("warn", (await told.json()).error)
    if (told.ok || told.status !== 400) gone(this.question.token)
  }

  later() {
    this.close()
    reminder()
  }

  close() {
    clearInterval(this.timer)
    this.element.remove()
    open = null
  }
}

/** A line at the top while a question waits and its dialog is closed. */
function reminder() {
  document.querySelector(".ns-reminder")?.remove()
  const [waiting] = questions.values()
  if (waiting && !open) document.body.append(h("button", { class: "ns-reminder", onclick: show }, WAITS))
}

function show() {
  const [waiting] = questions.values()
  if (waiting && !open) open = new Picker(waiting)
  reminder()
}

function gone(token) {
  questions.delete(token)
  if (open?.question.token === token) open.close()
  show()
}

async function fetchAll() {
  const answer = await api.fetchApi("/noise_search/questions")
  if (!answer.ok) return
  const waiting = await answer.json()
  const tokens = new Set(waiting.map(question => question.token))
  for (const token of questions.keys()) if (!tokens.has(token)) gone(token)
  for (const question of waiting) questions.set(question.token, question)
  show()
}

app.registerExtension({
  name: "NoiseSearch.HumanPick",
  async setup() {
    api.addEventListener("noise_search.question", ({ detail }) => {
      questions.set(detail.token, detail)
      show()
    })
    api.addEventListener("noise_search.answered", ({ detail }) => gone(detail.token))
    api.addEventListener("reconnected", fetchAll)
    await fetchAll()
  },
})
