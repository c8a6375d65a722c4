// Opens one of this pack's templates from a link: http://127.0.0.1:8188/?noise-search=<template's file name>
import { app } from "../../scripts/app.js"
import { api } from "../../scripts/api.js"

const template = new URLSearchParams(location.search).get("noise-search")
const folder = new URL(import.meta.url).pathname.split("/extensions/")[1].split("/")[0]

async function open() {
  const answer = await fetch(api.apiURL(`/workflow_templates/${folder}/${template}.json`))
  if (answer.ok) await app.loadGraphData(await answer.json(), true, true, template)
  else console.error(`Noise Search has no template named ${template}.`)
}

if (template) {
  let opened = false
  app.registerExtension({
    name: "NoiseSearch.OpenTemplate",
    // After the page has restored its own last graph, which would otherwise replace ours.
    afterConfigureGraph() {
      if (!opened) setTimeout(open, 500)
      opened = true
    },
  })
}
