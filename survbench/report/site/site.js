// Theme, filters, sorting and details of the tables. Without this file the pages are plain tables.
"use strict";

const root = document.documentElement;

function remembered() {
  try {
    return localStorage.getItem("survbench-theme");
  } catch {
    return null; // storage is closed to some pages opened from a file
  }
}

function remember(theme) {
  try {
    localStorage.setItem("survbench-theme", theme);
  } catch {
    // the choice then lasts for this page
  }
}

function isDark() {
  const chosen = root.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

const before = remembered();
if (before === "dark" || before === "light") root.dataset.theme = before;
root.classList.add("scripted");

document.addEventListener("DOMContentLoaded", () => {
  addTheme();
  addDetails();
  addSorting();
  addFilters();
});

function say(text) {
  document.getElementById("said").textContent = text;
}

// -- theme

function addTheme() {
  const button = document.getElementById("theme");
  const label = () => {
    button.textContent = isDark() ? "Light theme" : "Dark theme";
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
}

// -- details of a row: an article that moves below its row while it is open

function addDetails() {
  for (const link of document.querySelectorAll("a.open")) {
    const article = document.getElementById(link.hash.slice(1));
    if (article) makeToggle(link, article);
  }
  addEventListener("hashchange", openAddressed);
  openAddressed();
}

function makeToggle(link, article) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "open";
  button.textContent = link.textContent;
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-controls", article.id);
  link.replaceWith(button);
  article.home = article.parentElement;
  article.button = button;
  button.addEventListener("click", () => toggle(article));
  article.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    toggle(article, false);
    button.focus();
  });
}

function toggle(article, open = !article.shownIn) {
  if (open === Boolean(article.shownIn)) return;
  article.button.setAttribute("aria-expanded", String(open));
  if (!open) {
    article.home.append(article);
    article.shownIn.remove();
    article.shownIn = null;
    return;
  }
  const row = article.button.closest("tr");
  const below = document.createElement("tr");
  const cell = below.insertCell();
  below.className = "more";
  cell.colSpan = [...row.cells].reduce((sum, each) => sum + each.colSpan, 0);
  cell.append(article);
  row.after(below);
  article.shownIn = below;
}

function openAddressed() {
  const article = document.getElementById(location.hash.slice(1));
  if (!article || !article.button) return;
  toggle(article, true);
  article.scrollIntoView();
}

// -- sorting, within each group of rows; controls stay on top

const HIGH_FIRST = new Set(["C-index", "[low, high]", "Uno C", "AUC", "hazard ratio", "n", "events"]);
const TURNS = { ascending: "descending", descending: "ascending" };

function addSorting() {
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const body of table.tBodies) {
      body.initial = [...body.querySelectorAll("tr.row")];
    }
    for (const head of table.tHead.querySelectorAll("th[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sortBy(table, head));
    }
  }
}

function sortBy(table, head) {
  const name = head.textContent.trim();
  const first = HIGH_FIRST.has(name) ? "descending" : "ascending";
  const now = head.getAttribute("aria-sort");
  const next = now === null ? first : now === first ? TURNS[first] : null;
  for (const each of table.tHead.querySelectorAll("[aria-sort]")) each.removeAttribute("aria-sort");
  if (next) head.setAttribute("aria-sort", next);
  for (const body of table.tBodies) arrange(body, head, next);
  say(next ? `sorted by ${name}, ${next}` : "in the order of the leaderboard");
}

function arrange(body, head, direction) {
  const value = (row) => valueOf(row.cells[head.cellIndex].textContent.trim(), head.dataset.sort);
  const rows = [...body.initial];
  if (direction) rows.sort((a, b) => pinned(b) - pinned(a) || compare(value(a), value(b), direction));
  for (const row of rows) {
    const below = row.nextElementSibling;
    body.append(row);
    if (below && below.classList.contains("more")) body.append(below);
  }
}

function pinned(row) {
  return Number(row.classList.contains("control"));
}

function valueOf(text, kind) {
  if (kind === "text") return text.toLowerCase();
  const number = Number.parseFloat(text.replace(/^\[/, "").replace(/,/g, ""));
  return Number.isNaN(number) ? null : number;
}

function compare(a, b, direction) {
  if (a === null || b === null) return Number(a === null) - Number(b === null); // none comes last
  const order = a < b ? -1 : Number(a > b);
  return direction === "ascending" ? order : -order;
}

// -- filters

function addFilters() {
  const bar = document.getElementById("filters");
  if (!bar) return;
  const by = {};
  for (const name of ["regime", "preset", "cohort"]) {
    const select = document.getElementById(`by-${name}`);
    if (!select) continue;
    by[name] = select;
    select.parentElement.hidden = select.options.length < 3; // "all" and one more: no choice
  }
  const find = document.getElementById("find");
  const update = () => filter(find.value.toLowerCase().trim().split(/\s+/).filter(Boolean), by);
  bar.hidden = false;
  for (const kind of ["input", "change"]) bar.addEventListener(kind, update);
  document.getElementById("clear").addEventListener("click", () => {
    find.value = "";
    for (const select of Object.values(by)) select.value = "";
    update();
    find.focus();
  });
  update(); // a browser may restore what was typed
}

function filter(words, by) {
  let shown = 0;
  let all = 0;
  for (const board of document.querySelectorAll("section.board")) {
    const wanted = fits(by.preset, board.dataset.preset) && fits(by.cohort, board.dataset.cohort);
    let here = 0;
    for (const body of board.querySelectorAll(":scope > .scroll > table > tbody")) {
      const open = wanted && fits(by.regime, body.dataset.regime);
      const rows = [...body.querySelectorAll("tr.row")];
      for (const row of rows) show(row, open && words.every((w) => row.dataset.find.includes(w)));
      const left = rows.filter((row) => !row.hidden).length;
      body.hidden = left === 0;
      here += left;
      all += rows.length;
    }
    board.hidden = here === 0;
    shown += here;
  }
  const text = `${shown} of ${all} rows`;
  if (document.getElementById("count").textContent === text) return;
  document.getElementById("count").textContent = text;
  say(text);
}

function fits(select, value) {
  return !select || select.value === "" || select.value === value;
}

function show(row, visible) {
  row.hidden = !visible;
  const below = row.nextElementSibling;
  if (below && below.classList.contains("more")) below.hidden = !visible;
}
