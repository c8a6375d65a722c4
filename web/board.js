// What a page knows of a search: the server's messages put together.

/** The board with what a message brought, or null where messages before it were missed. */
export function merged(board, message) {
  const lanes = board?.lanes ?? []
  const news = message.lanes.map((lane, n) => {
    const old = lanes[n] ?? { candidates: [], values: [] }
    if (lane.from > old.candidates.length || lane.values_from > old.values.length) return null
    return {
      candidates: [...old.candidates.slice(0, lane.from), ...lane.candidates],
      values: [...old.values.slice(0, lane.values_from), ...lane.values],
      best: lane.best,
    }
  })
  return news.includes(null) ? null : { ...message, lanes: news.length ? news : lanes }
}

/** For each candidate the place of the best finished one until then, or -1. */
export function incumbents(lane) {
  let best = -1
  return lane.candidates.map((candidate, n) => {
    const value = lane.values[n]
    if (candidate.complete && value != null && (best < 0 || value > lane.values[best])) best = n
    return best
  })
}

export const place = (lane, id) => lane.candidates.findIndex(candidate => candidate.id === id)

export const recipe = candidate => JSON.parse(candidate.recipe)

/** Where a picture of a candidate is, if it was kept. */
export const picture = (board, lane, candidate) => `/noise_search/boards/${board.search}/${lane}/${candidate.id}.jpg`
