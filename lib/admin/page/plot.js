
// ---- the last hour: the server keeps no history, so it is what this page has seen

const kept = 3600;  // looks, one a second
const past = [];  // {t (seconds, of this page), rps, failed, cut, p50, p99, open, sides}
const changes = [];  // {t, at, text}: of the configuration, endpoints, names, advice
const changesMost = 200;

function remember(look) {
  past.push(look);
  if (past.length > kept) past.shift();
}
function tell(t, at, text) {
  changes.push({t, at, text});
  if (changes.length > changesMost) changes.shift();
}

const wide = 200, high = 40;
// [{t, value}] of at most `wide` points: of those that fall together the highest, so that no peak is lost.
function thinned(of) {
  if (past.length === 0) return [];
  const first = past[0].t, length = Math.max(past.at(-1).t - first, 1);
  const points = [];
  for (const look of past) {
    const x = Math.round((look.t - first) / length * wide);
    const last = points.at(-1);
    if (last && last.x === x) last.value = Math.max(last.value, of(look));
    else points.push({x, value: of(look)});
  }
  return points;
}
function ticks(plot, height) {
  if (past.length < 2) return;
  const first = past[0].t, length = past.at(-1).t - first;
  for (const change of changes) {
    if (change.t <= first) continue;
    const x = ((change.t - first) / length * wide).toFixed(1);
    const line = svg("line", {class: "tick", x1: x, x2: x, y1: 0, y2: height});
    line.append(svg("title", {}));
    line.firstChild.textContent = `${change.at} ${change.text}`;
    plot.append(line);
  }
}

// A figure with its course. `of` gives its value from a look, `text` tells one.
const unknown = "–";  // where nothing was asked for, nothing is known to be well
function tile(id, name, of, text, tone) {
  let figure = byId(id);
  if (!figure) {
    figure = make("figure");
    figure.id = id;
    figure.append(make("figcaption", "", name), make("div", "figure"));
    figure.append(svg("svg", {viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", role: "img"}));
    figure.append(make("div", "most"));
    byId("tiles").append(figure);
  }
  const [, value, plot, most] = figure.children;
  const points = thinned(of);
  const highest = Math.max(...points.map((p) => p.value), 0);
  const y = (v) => (high - (highest === 0 ? 0 : v / highest * (high - 3)) - 1).toFixed(1);
  const path = points.map((p) => `${p.x},${y(p.value)}`).join(" ");
  value.className = `figure ${tone || ""}`.trim();
  setText(value, text(of(past.at(-1))));
  setText(most, `highest ${text(highest)}`);
  plot.setAttribute("aria-label", `${name} since this page was opened: highest ${text(highest)}`);
  plot.replaceChildren();
  if (points.length > 1) {
    plot.append(svg("polygon", {class: "area", points: `0,${high} ${path} ${points.at(-1).x},${high}`}));
    plot.append(svg("polyline", {class: "line", points: path}));
  }
  ticks(plot, high);
}

// ---- whose time: phases by the side that owes them; connect stands for itself, as it is the first to hang

const sides = ["client", "queue", "connect", "upstream", "proxy"];
function sidesOf(phases) {
  return {
    client: phases.client_request + phases.client_write,
    queue: phases.queue,
    connect: phases.connect,
    upstream: phases.upstream_head + phases.upstream_body,
    proxy: phases.proxy,
  };
}
function sidesText(phases) {
  const of = sidesOf(phases);
  const some = sides.filter((s) => of[s] >= 0.005).sort((a, b) => of[b] - of[a]);
  return some.slice(0, 3).map((s) => `${s} ${(100 * of[s]).toFixed(0)} %`).join(", ");
}

function bar(plot, of) {
  plot.replaceChildren();
  let x = 0;
  for (const side of sides) {
    plot.append(svg("rect", {class: side, x: x.toFixed(2), y: 0, width: (of[side] * wide).toFixed(2), height: high}));
    x += of[side] * wide;
  }
}
function course(plot) {
  plot.replaceChildren();
  if (past.length < 2) return;
  const first = past[0].t, length = Math.max(past.at(-1).t - first, 1);
  const step = Math.ceil(past.length / wide);
  const looks = past.filter((_, i) => i % step === 0 || i === past.length - 1);
  const x = (look) => ((look.t - first) / length * wide).toFixed(1);
  let below = looks.map(() => 0);
  for (const side of sides) {
    const above = looks.map((look, i) => below[i] + look.sides[side]);
    const y = (v) => (high - v * high).toFixed(1);
    const top = looks.map((look, i) => `${x(look)},${y(above[i])}`);
    const bottom = looks.map((look, i) => `${x(look)},${y(below[i])}`).reverse();
    plot.append(svg("polygon", {class: side, points: [...top, ...bottom].join(" ")}));
    below = above;
  }
  ticks(plot, high);
}
function showSides(of) {
  const box = byId("sides");
  if (!box.firstChild) {
    const size = {viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", role: "img"};
    const list = make("ul");
    for (const side of sides) list.append(make("li", side));
    box.append(svg("svg", {...size, class: "now"}), list, svg("svg", {...size, class: "hour"}));
  }
  const [now, list, hour] = box.children;
  sides.forEach((side, i) => setText(list.children[i], `${side} ${percent(of[side])}`));
  now.setAttribute("aria-label", "time by side now: " + sides.map((s) => `${s} ${percent(of[s])}`).join(", "));
  hour.setAttribute("aria-label", "time by side since this page was opened");
  bar(now, of);
  course(hour);
}
