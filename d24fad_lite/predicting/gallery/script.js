"use strict";
// Sorting, filtering and the large view. Everything that is shown stands in the page; nothing is fetched.
(() => {
  const grid = document.getElementById("images");
  const cards = [...grid.querySelectorAll(".card")];
  const dialog = document.getElementById("large");
  const by = (id) => document.getElementById(id);
  const supports = [...document.querySelectorAll("[data-support]")].map((one) => one.dataset.support);
  let shown = -1;

  // Each picture stands in the page once, which halves the file; below its map it is shown again.
  for (const card of cards) card.querySelector(".below").src = card.querySelector("img").src;

  const visible = () => [...grid.querySelectorAll(".card:not([hidden])")];

  function arrange() {
    const words = by("search").value.trim().toLowerCase();
    const order = by("order").value;
    const only = by("only") !== null && by("only").checked;
    const rank = (card) => Number(card.dataset.rank);
    const name = (card) => card.dataset.name;
    const compare = {
      high: (a, b) => rank(a) - rank(b),
      low: (a, b) => rank(b) - rank(a),
      name: (a, b) => name(a).localeCompare(name(b), undefined, { numeric: true }),
    }[order];
    for (const card of [...cards].sort(compare)) {
      card.hidden = !name(card).toLowerCase().includes(words) || (only && card.dataset.alarm !== "yes");
      grid.append(card);
    }
    by("count").textContent = `${visible().length} of ${cards.length} shown`;
  }

  function show(index) {
    const list = visible();
    if (!list.length) return;
    shown = Math.max(0, Math.min(index, list.length - 1));
    const card = list[shown];
    const [picture, , layer] = card.querySelectorAll("img");
    for (const id of ["large-plain", "large-below"]) {
      by(id).src = picture.src;
      by(id).alt = id === "large-plain" ? card.dataset.name : "";
    }
    by("large-layer").hidden = layer === undefined;
    if (layer !== undefined) by("large-layer").src = layer.src;
    by("large-name").textContent = card.dataset.name;
    by("large-line").innerHTML = card.querySelector(".line").innerHTML;
    by("large-place").textContent = `${shown + 1} of ${list.length}`;
    const weights = JSON.parse(card.dataset.weights);
    by("large-weights").replaceChildren(...weights.flatMap((weight, i) => {
      const term = document.createElement("dt");
      const bar = document.createElement("dd");
      const number = document.createElement("dd");
      const meter = document.createElement("meter");
      term.textContent = `${i + 1} ${supports[i]}`;
      meter.max = 1;
      meter.value = weight;
      number.textContent = `${(100 * weight).toFixed(0)} %`;
      meter.setAttribute("aria-label", `${supports[i]}: ${number.textContent}`);
      bar.append(meter);
      return [term, bar, number];
    }));
    by("large-previous").disabled = shown === 0;
    by("large-next").disabled = shown === list.length - 1;
  }

  function open(card) {
    show(visible().indexOf(card));
    dialog.showModal();
  }

  function opacity() {
    by("large-layer").style.opacity = by("opacity").value / 100;
  }

  grid.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card !== null) open(card);
  });
  dialog.addEventListener("close", () => {
    const card = visible()[shown];
    if (card !== undefined) card.querySelector("button").focus();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  by("large-previous").addEventListener("click", () => show(shown - 1));
  by("large-next").addEventListener("click", () => show(shown + 1));
  by("large-close").addEventListener("click", () => dialog.close());
  by("opacity").addEventListener("input", opacity);
  // On the document: a button that has just been disabled, at the first or last image, loses the focus.
  document.addEventListener("keydown", (event) => {
    if (!dialog.open) return;
    const slider = event.target === by("opacity");
    const keys = {
      ArrowRight: () => show(shown + 1), ArrowLeft: () => show(shown - 1),
      j: () => show(shown + 1), k: () => show(shown - 1),
      Home: () => show(0), End: () => show(cards.length),
      m: () => { by("opacity").value = Number(by("opacity").value) > 0 ? 0 : 100; opacity(); },
    };
    if (!(event.key in keys) || (slider && event.key.length > 1) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  grid.addEventListener("keydown", (event) => {
    const list = visible();
    const at = list.findIndex((card) => card.contains(document.activeElement));
    const to = { ArrowRight: at + 1, j: at + 1, ArrowLeft: at - 1, k: at - 1, Home: 0, End: list.length - 1 }[event.key];
    if (at < 0 || !list[to] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    list[to].querySelector("button").focus();
  });
  for (const id of ["search", "order", "only"]) {
    if (by(id) !== null) by(id).addEventListener("input", arrange);
  }
  by("maps").addEventListener("input", () => document.body.classList.toggle("plain", !by("maps").checked));
  arrange();
})();
