
"use strict";
// Whatever comes from outside goes into the page as text: nothing here takes markup.
const byId = (id) => document.getElementById(id);

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// ---- how figures are told; as `sluice top` does

function span(seconds) {
  const s = Math.floor(seconds);
  const both = (n, unit, rest, small) => `${n} ${unit}` + (rest > 0 ? ` ${rest} ${small}` : "");
  if (s >= 2 * 86400) return both(Math.floor(s / 86400), "d", Math.floor(s % 86400 / 3600), "h");
  if (s >= 2 * 3600) return both(Math.floor(s / 3600), "h", Math.floor(s % 3600 / 60), "min");
  return s >= 120 ? `${Math.floor(s / 60)} min` : `${s} s`;
}
function time(seconds) {
  const ms = seconds * 1e3;
  if (ms >= 10000) return `${seconds.toFixed(1)} s`;
  return ms >= 10 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`;
}
const rate = (n) => n >= 100 ? n.toFixed(0) : n.toFixed(1);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const count = (n) => n.toLocaleString("en");
function bytes(n) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (n < 1024) return `${unit === "B" ? n : n.toFixed(1)} ${unit}`;
    n /= 1024;
  }
  return `${n.toFixed(1)} TiB`;
}
// "2026-11-29T02:58:14.031264Z": the day only where it is another one.
function clock(iso, now) {
  const day = iso.slice(0, 10);
  return (now && now.slice(0, 10) === day ? "" : `${day} `) + `${iso.slice(11, 19)} UTC`;
}

const svgSpace = "http://www.w3.org/2000/svg";
function svg(tag, attributes) {
  const element = document.createElementNS(svgSpace, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// ---- tables: rows are kept and only what changed is set, so that a selection stays

// A cell: a text, or {text, tone, href, share (0..1, as a bar)}.
function setCell(cell, value, column) {
  const v = typeof value === "object" ? value : {text: value};
  const className = [column.n ? "n" : "", column.long ? "long" : "", v.tone || ""].filter(Boolean).join(" ");
  if (cell.className !== className) cell.className = className;
  if (!v.href && v.share === undefined) {
    if (cell.firstElementChild) cell.replaceChildren();
    return setText(cell, v.text);
  }
  v.href ? setLink(cell, v) : setBar(cell, v);
}
function setLink(cell, v) {
  let link = cell.firstElementChild;
  if (!link) cell.replaceChildren(link = make("a"));
  setText(link, v.text);
  if (link.getAttribute("href") !== v.href) link.setAttribute("href", v.href);
}
// The text says the same: a screen reader needs no bar. It is never green: little used is not well.
function setBar(cell, v) {
  if (!cell.firstElementChild) {
    const plot = svg("svg", {class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true"});
    plot.append(svg("rect", {height: 10}));
    cell.replaceChildren(plot, make("span"));
  }
  const rect = cell.querySelector("rect");
  rect.setAttribute("width", (100 * v.share).toFixed(1));
  rect.setAttribute("class", v.share > 0.8 ? "full" : "");
  setText(cell.lastElementChild, v.text);
}

// columns: [{name, n, long}]. The roles are said, as cards (display: block) would lose them.
function table(id, caption, columns, rows) {
  const t = byId(id);
  if (!t.tHead) {
    t.setAttribute("role", "table");
    t.createCaption().textContent = caption;
    const head = t.createTHead();
    head.setAttribute("role", "rowgroup");
    const row = head.insertRow();
    row.setAttribute("role", "row");
    for (const column of columns) {
      const th = make("th", column.n ? "n" : "", column.name);
      th.scope = "col";
      th.setAttribute("role", "columnheader");
      row.append(th);
    }
    t.createTBody().setAttribute("role", "rowgroup");
  }
  setText(t.caption, caption);
  const body = t.tBodies[0];
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, i) => {
    const tr = body.rows[i] || newRow(body, columns);
    row.forEach((value, k) => setCell(tr.cells[k], value, columns[k]));
  });
  t.hidden = rows.length === 0;
  let none = t.nextElementSibling;
  if (!none || none.className !== "none") t.after(none = make("p", "none", "none"));
  none.hidden = rows.length !== 0;
}
function newRow(body, columns) {
  const tr = body.insertRow();
  tr.setAttribute("role", "row");
  columns.forEach((column, i) => {
    const cell = make(i === 0 ? "th" : "td");
    if (i === 0) cell.scope = "row";
    cell.setAttribute("role", i === 0 ? "rowheader" : "cell");
    if (i !== 0) cell.dataset.label = column.name;
    tr.append(cell);
  });
  return tr;
}
