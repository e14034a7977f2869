
// ---- what each panel says of one snapshot `s`

// A column: 1: of figures; 2: of texts that others chose.
const col = (name, kind) => ({name, n: kind === 1, long: kind === 2});

function showHead(s) {
  const phase = byId("phase");
  const word = s.phase === "serving" && !s.ready ? s.reason : s.phase;
  setText(phase, word.toUpperCase());
  phase.className = `badge ${s.ready ? "good" : "bad"}`;  // /readyz has looked
  setText(byId("version"), s.version);
  setText(byId("uptime"), `up ${span(s.uptime_seconds)}`);
  const c = s.configuration;
  setText(byId("config"), `configuration ${c.hash.slice(0, 8)} of ${clock(c.loaded, s.snapshot.time)}` +
    ` (generation ${c.generation})`);
  document.title = `${s.advice.length ? `(${s.advice.length}) ` : ""}sluice ${location.host}`;
}

// Kept by what they are about: a screen reader is told what is new, not each second anew.
function showAdvice(advice) {
  const list = byId("advice");
  const before = new Map([...list.children].map((li) => [li.dataset.key, li]));
  const items = advice.map((a) => {
    const key = `${a.code} ${a.subject}`;
    let li = before.get(key);
    if (!li) {
      li = make("li");
      li.dataset.key = key;
      li.append(make("span", "grade"), " ", make("span", "words"), " ", make("small"));
    }
    li.className = a.grade;
    const [grade, words, since] = li.children;
    setText(grade, a.grade === "warning" ? "! warning" : "- notice");
    setText(words, a.text);
    setText(since, `${a.code}, for ${span(a.seconds)}`);
    return li;
  });
  if (items.length !== list.children.length || items.some((li, i) => li !== list.children[i]))
    list.replaceChildren(...items);
  byId("nothing").hidden = advice.length !== 0;
}

function showLate(s) {
  const late = [];
  s.snapshot.worker_age_seconds.forEach((age, i) => {
    if (age === null) late.push(`! worker ${i} has not answered yet: its figures are missing`);
    else if (age >= 2) late.push(`! worker ${i} does not answer: its figures are ${span(age)} old`);
  });
  byId("late").replaceChildren(...late.map((text) => make("li", "", text)));
}

function showNow(s, t) {
  const all = s.rates.all;
  remember({t, rps: all.per_second, failed: all.failed, cut: all.cut, p50: all.p50_seconds, p99: all.p99_seconds,
    open: s.connections, sides: sidesOf(all.phases)});
  setText(byId("since"), `courses since this page was opened, ${span(t - past[0].t)} ago` +
    (past.length === kept ? " (the last hour)" : ""));
  tile("t-rps", "requests/s", (h) => h.rps, rate);
  const known = (text) => (v) => past.at(-1).rps > 0 || v > 0 ? text(v) : unknown;
  tile("t-failed", "status 5xx", (h) => h.failed, known(percent), all.failed > 0.01 ? "bad" : "");
  tile("t-cut", "cut off", (h) => h.cut, known(percent), all.cut > 0.01 ? "bad" : "");
  tile("t-p50", "p50", (h) => h.p50, known(time));
  tile("t-p99", "p99", (h) => h.p99, known(time));
  tile("t-open", `client connections of ${count(s.max_connections)}`, (h) => h.open, count);
  showSides(sidesOf(all.phases));
}

function showRoutes(s) {
  table("routes", "Share of requests that failed, were left by their client (499) or cut off, and whose time they took",
    [col("route", 2), col("rate/s", 1), col("5xx", 1), col("left", 1), col("cut", 1), col("p50", 1), col("p99", 1),
      col("time by side")],
    s.rates.routes.map((r) => [r.name || "(none)", rate(r.per_second),
      {text: percent(r.failed), tone: r.failed > 0.01 ? "bad" : ""}, percent(r.left),
      {text: percent(r.cut), tone: r.cut > 0.01 ? "bad" : ""}, time(r.p50_seconds), time(r.p99_seconds),
      sidesText(r.phases)]));
}

// Why requests wait: the caps are full, or connections are being made.
function whyWaiting(u, sum) {
  if (u.waiting === 0) return "";
  if (sum.connecting > 0 && sum.connections < u.load.limit) return "connections are being made";
  return u.endpoints.length === 0 ? "it has no endpoint" : "all connections are in use";
}

function upstreamRow(u) {
  const sum = {connections: 0, connecting: 0};
  for (const e of u.endpoints) {
    sum.connections += e.connections;
    sum.connecting += e.connecting;
  }
  const slow = u.load.usual_seconds > 0 ? u.load.service_seconds / u.load.usual_seconds : 0;
  const full = u.load.limit > 0 ? Math.min(sum.connections / u.load.limit, 1) : 0;
  return [u.name, {text: `${sum.connections} of ${u.load.limit}`, share: full},
    {text: String(u.waiting), tone: u.waiting > 0 ? "bad" : ""},
    u.waiting > 0 ? time(u.load.oldest_wait_seconds) : "", whyWaiting(u, sum), u.load.offered.toFixed(1),
    String(Math.ceil(u.load.recommended)),
    u.load.usual_seconds === 0 ? "" : `${time(u.load.service_seconds)} / ${time(u.load.usual_seconds)}` + (slow > 1.5 ? ` ×${slow.toFixed(1)}` : ""),
    u.panic ? {text: "PANIC: health is ignored", tone: "bad"} : u.checked ? "checked" : "no health check"];
}
function showUpstreams(s) {
  table("upstreams", "Connections in use, who waits for one and why; load offered and connections it needs",
    [col("upstream", 2), col("in use / limit"), col("waiting", 1), col("oldest", 1), col("waits as"),
      col("offered", 1), col("needs", 1), col("now / usual", 1), col("health")],
    s.upstreams.filter((u) => u.name).map(upstreamRow));
}

// Rates of an endpoint come from its totals: of now, and of some seconds ago.
const totals = [];  // {t, of: Map(key, endpoint)}
const endpointKey = (u, e) => JSON.stringify([u.name, e.name, e.address, e.leaving]);
function rememberTotals(s, t) {
  const of = new Map();
  for (const u of s.upstreams) for (const e of u.endpoints || []) of.set(endpointKey(u, e), e);
  totals.push({t, of});
  while (totals.length > 2 && t - totals[0].t > 10) totals.shift();
}
function endpointRates(key, e, t) {
  const before = totals[0].of.get(key);
  const over = t - totals[0].t;
  const none = {rate: "", failed: "", errors: "", mean: "", bad: false};
  if (!before || over <= 0 || e.answers < before.answers || e.errors < before.errors) return none;
  const answers = e.answers - before.answers, errors = e.errors - before.errors;
  const failed = answers ? (e.answers_5xx - before.answers_5xx) / answers : 0;
  return {
    rate: rate(answers / over), failed: answers ? percent(failed) : "", errors: rate(errors / over),
    mean: answers ? time((e.head_seconds - before.head_seconds) / answers) : "", failedBad: failed > 0.01,
    errorsBad: errors > 0,
  };
}

// Green is what a check has found well; what nobody checks is never green. The word always says it, too.
function stateTone(e) {
  if (e.state === "in_use") return e.by === "check" ? "good" : "warn";
  return e.state === "unchecked" ? "soft" : "bad";
}
const stateWords = {
  in_use: "in use", unchecked: "in use, UNCHECKED", set_aside: "SET ASIDE", unhealthy: "UNHEALTHY", ejected: "EJECTED",
  paused: "PAUSED", leaving: "LEAVING", disabled: "DISABLED",
};
const whyWords = {
  unchecked: "no health check", set_aside: "a connect failed", unhealthy: "its checks fail",
  ejected: "its requests failed", paused: "it asked for it", leaving: "it left the set, connections are open",
  disabled: "by an operator",
};
function whyState(e) {
  if (e.state === "in_use") return e.by === "panic" ? "panic: health is ignored" : "its checks do well";
  const back = Math.max(e.set_aside_seconds, e.ejected_seconds, e.paused_seconds);
  return (whyWords[e.state] || "") + (back > 0 ? `, tried again in ${span(back)}` : "") +
    (e.failures_in_a_row > 0 ? `, ${e.failures_in_a_row} failures in a row` : "");
}
const endpointsMost = 300;
function showEndpoints(s, t) {
  const order = {good: 2, soft: 1};
  const all = [];
  for (const u of s.upstreams) for (const e of u.endpoints || []) {
    const r = endpointRates(endpointKey(u, e), e, t);
    all.push({u, e, r, order: r.failedBad || r.errorsBad ? 0 : order[stateTone(e)] || 0});
  }
  all.sort((a, b) => a.order - b.order);
  const more = all.length > endpointsMost ? `; ${all.length - endpointsMost} more are not shown` : "";
  table("endpoints", `State, who decided it and why; rates of the last 10 s; connections active/idle/connecting${more}`,
    [col("endpoint"), col("upstream", 2), col("state"), col("since"), col("by"), col("why", 2), col("rate/s", 1),
      col("5xx", 1), col("errors/s", 1), col("mean", 1), col("in flight", 1), col("connections", 1)],
    all.slice(0, endpointsMost).map(({u, e, r}) => [e.name, u.name,
      {text: stateWords[e.state] || e.state, tone: stateTone(e)}, span(e.state_seconds), e.by === "none" ? "" : e.by,
      whyState(e), r.rate, {text: r.failed, tone: r.failedBad ? "bad" : ""},
      {text: r.errors, tone: r.errorsBad ? "bad" : ""}, r.mean, count(e.in_flight),
      `${e.active}/${e.idle}/${e.connecting}` + (e.tunnels ? `, ${e.tunnels} tunnels` : "")]));
}

function nameRow(n) {
  const records = n.records.flatMap((r) => r.records);
  const failing = n.records.filter((r) => r.failures > 0);
  const next = Math.min(...n.records.map((r) => r.next_query_seconds));
  const last = n.history.at(-1);
  const list = (texts) => texts.join(", ");
  return [n.name, records.length ? list(records) : {text: "nothing", tone: "bad"},
    {text: n.state, tone: failing.length ? "bad" : ""}, last ? `${span(last.seconds_ago)} ago` : "",
    last && last.removed.length ? list(last.removed) : "", Number.isFinite(next) ? `in ${span(Math.max(next, 0))}` : "",
    {text: failing.map((r) => `${r.type}: ${r.last_error}, ${r.failures} in a row`).join("; "), tone: "bad"}];
}
function showNames(s) {
  byId("names-panel").hidden = s.dns.length === 0;
  table("names", "Where names point, since when, and where they pointed before",
    [col("name"), col("points to", 2), col("state"), col("changed"), col("was", 2), col("asked again"), col("last error", 2)],
    s.dns.map(nameRow));
}

// ---- what is full first stands first
function certificatesOf(s, now) {
  return s.listeners.flatMap((l) => l.certificates.map((c) => {
    const left = c.not_after - now, life = Math.max(c.not_after - c.not_before, 1);
    return {what: `certificate ${c.name} (${l.name})`, share: 1 - left / life, used: "",
      when: left > 0 ? `ends in ${span(left)} of ${span(life)}` : "has ENDED", bad: left < life / 10};
  }));
}
const limitWords = {
  client_connections: "client connections", memory: "memory", ports: "local ports", accept_queue: "accept queue",
};
function showLimits(s) {
  const limits = s.limits.filter((l) => l.max > 0).map((l) => {
    const show = l.resource === "memory" ? bytes : count;
    const share = l.used / l.max;
    return {what: (limitWords[l.resource] || l.resource) + (l.subject === "process" ? "" : ` ${l.subject}`), share,
      used: `${show(l.used)} of ${show(l.max)}`, bad: share > 0.8 || (l.runs_out_seconds ?? Infinity) < 3600,
      when: l.runs_out_seconds === null ? "" : `full in ${span(l.runs_out_seconds)}`};
  });
  const all = [...limits, ...certificatesOf(s, Date.parse(s.snapshot.time) / 1e3)];
  all.sort((a, b) => Number(b.bad) - Number(a.bad) || b.share - a.share);
  table("limits", "Used of what there is; of a certificate, of its lifetime",
    [col("what"), col("used"), col("of"), col("when")],
    all.map((l) => {
      const share = Math.min(Math.max(l.share, 0), 1);
      return [l.what, {text: percent(share), share}, l.used, {text: l.when, tone: l.bad ? "bad" : ""}];
    }));
}

const endless = new Set(["websocket", "event_stream", "grpc_stream", "tunnel"]);
function showDrain(s) {
  const d = s.drain;
  byId("drain-panel").hidden = !d;
  if (!d) return;
  const kinds = Object.entries(d.holders).filter(([, n]) => n > 0).map(([kind, n]) => `${n} ${kind}`);
  setText(byId("drain-sum"), `${d.phase}, at most ${span(d.seconds_left)} more; waits for ` +
    (kinds.join(", ") || "nothing") + (d.whole ? "" : " and more"));
  table("drain", "The oldest that hold it up", [col("client"), col("kind"), col("route", 2), col("path", 2), col("age", 1),
    col("ends by itself")],
    d.oldest.map((h) => [h.client, h.kind, h.route, h.path, span(h.age_seconds),
      endless.has(h.kind) ? {text: "hardly", tone: "bad"} : "should"]));
}

function showConfiguration(s) {
  const c = s.configuration, now = s.snapshot.time;
  const rows = [
    ["in force", `${c.hash}, generation ${c.generation}, since ${clock(c.loaded, now)}`],
    ["last reload", c.refused ? `REFUSED at ${clock(c.tried, now)}: ${c.refused}` : c.changes || "none so far"],
    ["waits for a restart", c.restart_pending.map((w) => `${w.key} = ${w.value}`).join("\n") || "nothing"],
  ];
  if (c.refused && c.changes) rows.push(["the one before changed", c.changes]);
  if (!s.file_in_force) rows.push(["file", "it was rolled back: the file is not what runs"]);
  if (s.confirmation_awaited)
    rows.push(["trial", `POST /confirm is awaited for ${span(s.confirmation_awaited.seconds_left)} more`]);
  if (s.log_level_seconds_left > 0) rows.push(["log level", `${s.log_level}, ${span(s.log_level_seconds_left)} more`]);
  const list = byId("configuration");
  while (list.children.length > rows.length * 2) list.lastChild.remove();
  while (list.children.length < rows.length * 2) list.append(make("dt"), make("dd"));
  rows.forEach(([name, value], i) => {
    setText(list.children[2 * i], name);
    setText(list.children[2 * i + 1], value);
    list.children[2 * i + 1].className = value.startsWith("REFUSED") ? "bad" : "";
  });
}
function showListeners(s) {
  table("listeners", "Who listens where, and how many clients are connected",
    [col("listener"), col("addresses", 2), col("TLS"), col("connections", 1)],
    s.listeners.map((l) => [l.name, l.addresses.join(", "), l.tls ? "yes" : "no", count(l.connections)]));
}

// ---- what changed from one snapshot to the next, as ticks in the plots and as a list

function factsOf(s) {
  const facts = new Map([["configuration", `generation ${s.configuration.generation}`], ["phase", s.phase]]);
  for (const u of s.upstreams) for (const e of u.endpoints || [])
    if (!e.leaving) facts.set(`endpoint ${e.name} of ${u.name}`, stateWords[e.state] || e.state);
  for (const n of s.dns) facts.set(`name ${n.name}`, n.records.flatMap((r) => r.records).join(" ") || "nothing");
  for (const a of s.advice) facts.set(`${a.code} ${a.subject}`, "said");
  return facts;
}
let factsBefore = null;
function showChanges(s, t) {
  const facts = factsOf(s);
  if (factsBefore) {
    const at = clock(s.snapshot.time, s.snapshot.time);
    for (const [of, is] of facts) if (factsBefore.get(of) !== is) tell(t, at, `${of}: ${is}`);
    for (const of of factsBefore.keys()) if (!facts.has(of)) tell(t, at, `${of}: over`);
  }
  factsBefore = facts;
  const list = byId("changes");
  setText(byId("changes-count"), String(changes.length));
  list.replaceChildren(...changes.slice(-50).reverse().map((c) => make("li", "", `${c.at} ${c.text}`)));
}
