
// ---- where snapshots come from: events of /status; where they cannot be had, /status each second

const staleAfter = 3000;  // ms
const seconds = () => performance.now() / 1e3;
let lastCame = performance.now();
let lastTime = "";  // of the last snapshot
let wayWords = "connecting";

function show(s) {
  lastCame = performance.now();
  if (s.snapshot.time === lastTime) return;
  lastTime = s.snapshot.time;
  const t = seconds();
  byId("panels").hidden = false;
  byId("as-text").hidden = true;
  rememberTotals(s, t);
  showHead(s);
  showAdvice(s.advice);
  showLate(s);
  showChanges(s, t);
  showNow(s, t);
  for (const panel of [showRoutes, showUpstreams, showNames, showLimits, showDrain, showConfiguration, showListeners])
    panel(s);
  showEndpoints(s, t);
}

// What is on the screen says how old it is, whatever happens.
function watch() {
  const silent = performance.now() - lastCame;
  const stale = silent > staleAfter;
  document.body.classList.toggle("stale", stale);
  setText(byId("live"), stale ? `no data for ${Math.floor(silent / 1e3)} s` : wayWords);
}

async function poll() {
  try {
    const answer = await fetch("status", {headers: {accept: "application/json"}, signal: AbortSignal.timeout(5000)});
    if (answer.ok) {
      wayWords = "asks each second";
      show(await answer.json());
    }
  } catch (error) {
    console.info("no figures:", error.message);  // watch() tells how long there have been none
  }
}
let polling = 0;
function startPolling() {
  if (!polling) polling = setInterval(poll, 1000);
}
function stopPolling() {
  clearInterval(polling);
  polling = 0;
}

function listen() {
  const events = new EventSource("status");
  events.onmessage = (event) => {
    stopPolling();
    wayWords = "live";
    show(JSON.parse(event.data));
  };
  events.onerror = () => {
    startPolling();
    // It was refused (sixteen others listen) and does not try again by itself.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 10000);
  };
}

// ---- recent ends: words as "route=cart" are asked of the server, others are looked for in what it says

const recentNames = new Set(["id", "client", "conn", "route", "upstream", "endpoint", "status", "reason", "ended_by",
  "ended", "kept_as"]);
function recentQuery(text) {
  const query = new URLSearchParams({limit: "50"});
  const words = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const equals = word.indexOf("=");
    if (equals > 0 && recentNames.has(word.slice(0, equals))) query.set(word.slice(0, equals), word.slice(equals + 1));
    else words.push(word.toLowerCase());
  }
  if (!query.has("kept_as") && !byId("fine").checked && !["id", "client", "conn"].some((n) => query.has(n)))
    query.set("kept_as", "trouble,refused");
  if (words.length) query.set("limit", "500");
  // URLSearchParams writes a space as "+", which is one of HTML's forms and none of RFC 3986.
  return {query: query.toString().replaceAll("+", "%20"), words};
}
function recentRow(e, now) {
  const id = e.trace_id || e.request_id;
  const clockText = clock(e.time, now);
  return [id ? {text: clockText, href: `recent?id=${encodeURIComponent(id)}`} : clockText, e.route || "",
    `${e.method || ""} ${e.path || ""}`.trim(), {text: String(e.status || ""), tone: e.status >= 500 ? "bad" : ""},
    e.ended || "", e.ended_by || "", e.during || "",
    (e.reason || "") + (e.detail ? ` (${e.detail})` : ""), e.endpoint || "", time(e.total_us / 1e6), e.sentence];
}
function showRecent(answer, words) {
  const fits = (e) => words.every((w) => Object.values(e).some((v) => String(v).toLowerCase().includes(w)));
  const ends = answer.ends.filter(fits).slice(0, 50);
  table("recent", "The last first: who ended it, in which part, and why",
    [col("time"), col("route", 2), col("request", 2), col("status", 1), col("ended"), col("by"), col("during"),
      col("reason", 2), col("endpoint", 2), col("took", 1), col("what became of it", 2)],
    ends.map((e) => recentRow(e, answer.now)));
  const keeps = answer.kept.map((k) => `${count(k.kept)} of ${count(k.most)} ${k.kept_as}`).join(", ");
  setText(byId("recent-note"), `${ends.length ? "" : "none fits; "}kept are ${keeps}`);
}
let recentRound = 0;
async function askRecent() {
  if (document.hidden) return;
  const round = ++recentRound;
  const {query, words} = recentQuery(byId("filter").value);
  try {
    const answer = await fetch(`recent?${query}`, {headers: {accept: "application/json"},
      signal: AbortSignal.timeout(5000)});
    const isJson = (answer.headers.get("content-type") || "").startsWith("application/json");
    if (round !== recentRound) return;  // another question was asked meanwhile
    if (isJson) showRecent(await answer.json(), words);
    else setText(byId("recent-note"), (await answer.text()).trim());
  } catch (error) {
    console.info("no recent ends:", error.message);
  }
}

byId("recent-form").addEventListener("submit", (event) => {
  event.preventDefault();
  askRecent();
});
byId("filter").addEventListener("input", askRecent);
byId("fine").addEventListener("change", askRecent);
setInterval(askRecent, 2000);
setInterval(watch, 500);
askRecent();
listen();
