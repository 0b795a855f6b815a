"use strict";
// Filters and the metric that ranks. The state of the filters lives in the address's hash.
(() => {
  const $ = (id) => document.getElementById(id);

  const unfold = () => {
    const target = $(decodeURIComponent(location.hash.slice(1)));
    if (target?.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", unfold);

  const table = $("board");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((tr, place) => ({
    tr, place, text: tr.textContent.toLowerCase(),
    of: Object.fromEntries([...tr.querySelectorAll(".metric")].map((td) => [td.dataset.m, td])),
  }));
  const metric = $("metric"), all = $("all"), words = $("words");
  const selects = [...document.querySelectorAll("#filters select[data-field]")];
  const number = (text) => text === undefined ? Infinity : Number(text);

  // Rows of one ranking stay together, in the order of the page as it was written.
  const firstOf = {};
  for (const row of rows) firstOf[row.tr.dataset.group] ??= row.place;
  const rank = (row) => Number(row.of[metric.value]?.dataset.r ?? Infinity);
  const before = (a, b) => {
    const apart = firstOf[a.tr.dataset.group] - firstOf[b.tr.dataset.group];
    if (apart) return apart;
    const [x, y] = [rank(a), rank(b)];
    return x === y ? a.place - b.place : x - y;
  };

  const show = () => {
    const typed = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = selects.filter((s) => s.value);
    let count = 0;
    for (const row of rows) {
      const fits = wanted.every((s) => row.tr.dataset[s.dataset.field] === s.value) &&
        typed.every((word) => row.text.includes(word));
      row.tr.hidden = !fits;
      if (fits) count += 1;
      const own = rank(row);
      row.tr.querySelector(".rank").textContent = Number.isFinite(own) ? own : "-";
    }
    body.append(...[...rows].sort(before).map((row) => row.tr));
    table.classList.toggle("one", !all.checked);
    table.querySelectorAll(".metric").forEach((cell) =>
      cell.classList.toggle("chosen", cell.dataset.m === metric.value));
    $("count").textContent = `${count} of ${rows.length} rows`;
  };

  const keep = () => {
    const state = new URLSearchParams({ metric: metric.value });
    for (const s of selects) state.set(s.dataset.field, s.value);
    if (words.value.trim()) state.set("q", words.value.trim());
    if (all.checked) state.set("all", "1");
    history.replaceState(null, "", `#${state}`);
    show();
  };
  const choose = (select, value) => {
    if ([...select.options].some((o) => o.value === value)) select.value = value;
  };
  const read = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    const given = state.has("metric");
    if (given) choose(metric, state.get("metric"));
    for (const s of selects) {
      const newest = s.querySelector("[data-newest]")?.value ?? "";
      choose(s, given ? state.get(s.dataset.field) ?? "" : newest);
    }
    words.value = state.get("q") ?? "";
    all.checked = state.has("all");
    show();
    unfold();
  };
  for (const field of [metric, all, ...selects]) field.addEventListener("change", keep);
  words.addEventListener("input", keep);
  $("reset").addEventListener("click", () => {
    for (const s of selects) s.value = "";
    words.value = "";
    all.checked = false;
    keep();
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").hidden = false;
  $("filter-box").open = matchMedia("(min-width: 48.01rem)").matches;
  read();
})();
