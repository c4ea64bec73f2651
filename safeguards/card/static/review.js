// The page works without this file. With it, filters answer while one types, a table that is still being read fills
// itself, and arrow keys move between the cells. Nothing out of the data is ever run or parsed here but as a page that
// the server has escaped.
"use strict";

(() => {
  const form = document.getElementById("filter");
  const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  let newest = 0, filtering = 0;

  async function show(address, remember) {
    const asked = ++newest;
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok || asked !== newest) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (asked !== newest) return;
    const ticked = new Set([...document.querySelectorAll("input[name=run]:checked")].map((box) => box.value));
    const focused = where(document.activeElement);
    for (const name of ["list", "status"]) {
      const [old, fresh] = [document.getElementById(name), page.getElementById(name)];
      if (!old || !fresh) return;
      if (name === "list") old.replaceWith(document.adoptNode(fresh));
      else if (old.textContent !== fresh.textContent) old.textContent = fresh.textContent; // announced: role=status
    }
    for (const box of document.querySelectorAll("input[name=run]")) box.checked = ticked.has(box.value);
    if (focused) go(...focused);
    if (remember) history.replaceState(null, "", address);
    prepare();
  }

  function prepare() {
    const button = document.getElementById("compare");
    if (button) button.disabled = document.querySelectorAll("input[name=run]:checked").length !== 2;
    if (document.querySelector("#list[data-partial]")) wait(1000).then(fill).catch(() => {});
  }

  function fill() {
    return filtering ? prepare() : show(location.href, false); // what somebody asked for is not overtaken
  }

  function address() {
    const given = [...new FormData(form)].filter(([, value]) => value !== "");
    return `${location.pathname}?${new URLSearchParams(given)}`;
  }

  function rows() {
    return [...document.querySelectorAll("table.grid tr")];
  }

  function where(element) {
    const cell = element && element.closest && element.closest("table.grid th, table.grid td");
    return cell ? [rows().indexOf(cell.parentElement), cell.cellIndex] : null;
  }

  function go(row, column) {
    const cell = rows()[row] && rows()[row].cells[column];
    const target = cell && cell.querySelector("[data-grid]");
    if (target) target.focus();
    return Boolean(target);
  }

  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  function walk(event) {
    const step = STEPS[event.key];
    const place = where(document.activeElement);
    if (!step || !place || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    let [row, column] = place;
    do {
      row += step[0];
      column += step[1];
    } while (rows()[row] && column >= 0 && column < rows()[row].cells.length && !go(row, column));
  }

  document.addEventListener("keydown", walk);
  document.addEventListener("change", (event) => {
    if (event.target.name === "run") prepare();
  });
  if (form) {
    let last = 0;
    const refresh = async (milliseconds) => {
      const mine = ++last;
      await wait(milliseconds);
      if (mine !== last) return;
      filtering += 1;
      await show(address(), true).finally(() => (filtering -= 1));
    };
    form.addEventListener("input", (event) => refresh(event.target.type === "search" ? 200 : 0).catch(() => {}));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      refresh(0).catch(() => form.submit());
    });
  }
  prepare();
})();
