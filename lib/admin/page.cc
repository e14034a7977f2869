#include "admin/page.h"

namespace sluice::admin {

// No foreign script, style or font: the page must open on a host without a way out.
std::string_view status_page() {
  return R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>sluice</title>
<style>
  body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1b2733; }
  h1 { font-size: 1.3rem; margin: 0 0 .2rem } h2 { font-size: 1rem; margin: 1.6rem 0 .4rem }
  table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #dde4ea }
  td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
  .bad { color: #b3261e; font-weight: 600 } .good { color: #1a7f37 } #state { color: #5b6b7a }
</style>
</head>
<body>
<h1>sluice</h1>
<div id="state">loading ...</div>
<ol id="advice" aria-live="polite"></ol>
<h2>Listeners</h2><table id="listeners"></table>
<h2>Upstreams</h2><table id="endpoints"></table>
<script>
const text = (v) => v === null || v === undefined ? "" : String(v);
// Green is what a check has found well; what nobody checks has no colour.
const tone = (e) => e.state === "in_use" && e.by === "check" ? "good" : e.state === "unchecked" ? "" : "bad";
function fill(id, heads, rows) {
  const table = document.getElementById(id);
  table.replaceChildren();
  const add = (cells, tag) => {
    const tr = table.insertRow();
    for (const [value, kind] of cells) {
      const cell = document.createElement(tag);
      cell.textContent = text(value);
      if (kind) cell.className = kind;
      tr.append(cell);
    }
  };
  add(heads, "th");
  rows.forEach((row) => add(row, "td"));
}
async function show() {
  const state = document.getElementById("state");
  try {
    const s = await (await fetch("status")).json();
    state.textContent = `${s.version}, up ${Math.round(s.uptime_seconds)} s, ` +
      (s.ready ? "ready" : `not ready: ${s.reason}`);
    document.getElementById("advice").replaceChildren(...s.advice.map((a) => {
      const li = document.createElement("li");
      li.className = a.grade === "warning" ? "bad" : "";
      li.textContent = `${a.text} (for ${Math.round(a.seconds)} s)`;
      return li;
    }));
    fill("listeners", [["name"], ["address"], ["connections", "n"]],
      s.listeners.map((l) => [[l.name], [l.addresses.join(", ")], [l.connections, "n"]]));
    const rows = [];
    for (const u of s.upstreams) for (const e of u.endpoints) {
      rows.push([[u.name], [e.name], [e.state + (e.by === "none" ? "" : ` (${e.by})`), tone(e)],
        [e.active, "n"], [e.idle, "n"], [e.connecting, "n"], [e.in_flight, "n"], [u.waiting, "n"]]);
    }
    fill("endpoints", [["upstream"], ["endpoint"], ["state"], ["active", "n"], ["idle", "n"],
      ["connecting", "n"], ["in flight", "n"], ["waiting", "n"]], rows);
  } catch (e) {
    state.textContent = `no answer: ${e}`;
  }
}
show();
setInterval(show, 1000);
</script>
</body>
</html>
)html";
}

}  // namespace sluice::admin
