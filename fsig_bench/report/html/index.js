"use strict";
// The first page: its overview, sorting, filters and pivot. Its state lives in the URL's hash.
(() => {
  const { $, make, json } = fsig;
  const long = $("long");
  const settings = json("settings");
  const heads = [...long.tHead.rows[0].cells];
  const columns = heads.map((h) => h.dataset.key);
  const body = long.tBodies[0];
  // rs_imle, RS-IMLE and "RS IMLE" are found alike.
  const plain = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}\s]/gu, "");
  const rows = [...body.rows].map((tr, place) => ({
    tr, place, text: plain(`${tr.textContent} ${tr.dataset.name}`),
    of: Object.fromEntries(columns.map((c, i) => [c, tr.cells[i]])),
  }));
  const fields = [...document.querySelectorAll("#filters select")];
  const state = new URLSearchParams();

  const numeric = (key) => heads[columns.indexOf(key)].hasAttribute("data-metric") ||
    ["k", "num_images", "runs"].includes(key);
  const value = (row, key) => {
    const cell = row.of[key];
    if (!numeric(key)) return cell.textContent;
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    return cell.textContent === "-" ? null : Number(cell.textContent);
  };
  const sort = () => {
    const key = state.get("sort"), sign = state.get("dir") === "desc" ? -1 : 1;
    heads.forEach((h) => h.removeAttribute("aria-sort"));
    const order = [...rows];
    if (columns.includes(key)) {
      heads[columns.indexOf(key)].setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      order.sort((a, b) => {
        const [x, y] = [value(a, key), value(b, key)];
        if (x === null || y === null) return (x === null) - (y === null) || a.place - b.place;
        const by = typeof x === "number" ? x - y : x.localeCompare(y, "en");
        return sign * by || a.place - b.place;
      });
    }
    body.append(...order.map((r) => r.tr));
  };
  const filter = () => {
    const words = plain(state.get("q") || "").split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const fits = fields.every((f) => !state.get(f.dataset.field) ||
        row.of[f.dataset.field].textContent === state.get(f.dataset.field)) &&
        words.every((w) => row.text.includes(w));
      row.tr.hidden = !fits;
      shown += fits;
    }
    $("count").textContent = `${shown} of ${rows.length} rows`;
  };
  // The first view: one setting, its ranks by one metric, its figures on one target.
  const overview = (setting, metric) => {
    const views = [...document.querySelectorAll("[data-view]")];
    views.forEach((v) => { v.hidden = v.dataset.view !== setting; });
    const view = views.find((v) => v.dataset.view === setting);
    const ranks = [...view.querySelectorAll(".ranks")], places = [...view.querySelectorAll("[data-place]")];
    const shown = ranks.find((r) => r.dataset.metric === metric) || ranks[0];
    ranks.forEach((r) => { r.hidden = r !== shown; });
    const names = places.map((p) => p.dataset.place);
    const select = $("place");
    if ([...select.options].map((o) => o.value).join() !== names.join()) {
      select.replaceChildren(...names.map((n) => make("option", { value: n, textContent: n === "all" ? "all targets" : n })));
    }
    const place = names.includes(state.get("target")) ? state.get("target") : names[0];
    select.value = place || "";
    select.disabled = names.length < 2;
    places.forEach((p) => { p.hidden = p.dataset.place !== place; });
    const blocks = [...document.querySelectorAll(`[data-view="${setting}"] [data-target]`)];
    const one = blocks.some((b) => b.dataset.target === place);
    blocks.forEach((b) => { b.hidden = one && b.dataset.target !== place; });
  };
  // A method whose box in the legend has no tick is hidden in all figures and strips.
  const boxes = [...document.querySelectorAll("[data-method]")];
  const marks = [...document.querySelectorAll("[data-of]")];
  const hideMethods = () => {
    const off = new Set((state.get("hide") || "").split(",").filter(Boolean));
    boxes.forEach((b) => { b.checked = !off.has(b.dataset.method); });
    marks.forEach((m) => { m.style.display = off.has(m.dataset.of) ? "none" : ""; });
  };
  boxes.forEach((b) => b.addEventListener("change", () => {
    const off = new Set((state.get("hide") || "").split(",").filter(Boolean));
    if (b.checked) off.delete(b.dataset.method); else off.add(b.dataset.method);
    set({ hide: [...off].join(",") });
    hideMethods();
  }));
  const pivot = () => {
    const setting = settings.find((s) => s.id === state.get("setting")) || settings[0];
    const options = [...$("metric").options];
    options.forEach((o) => { o.disabled = o.hidden = !setting.metrics.includes(o.value); });
    const wanted = state.get("metric");
    const metric = setting.metrics.includes(wanted) ? wanted : setting.metrics[0];
    $("setting").value = setting.id;
    $("metric").value = metric || "";
    const own = rows.filter((r) => r.tr.dataset.setting === setting.id);
    const datasets = [...new Set(own.map((r) => r.of.dataset.textContent))].sort();
    const methods = [...new Map(own.map((r) => [r.of.method.textContent, r.tr.dataset.kind]))]
      .sort(([a, x], [b, y]) => (x === "control") - (y === "control") || a.localeCompare(b, "en"));
    const head = make("tr", {}, make("th", { scope: "col", textContent: "Method" }),
      ...datasets.map((d) => make("th", { scope: "col", textContent: d })));
    let controls = 0;
    const lines = methods.map(([method, kind]) => {
      const tr = make("tr", {}, make("th", { scope: "row", textContent: method }));
      tr.dataset.kind = kind;
      if (kind === "control" && !controls++) tr.className = "first-control";
      for (const dataset of datasets) {
        const row = own.find((r) => r.of.method.textContent === method && r.of.dataset.textContent === dataset);
        const cell = row && metric ? row.of[metric].cloneNode(true) : make("td", { textContent: "-" });
        tr.append(cell);
      }
      return tr;
    });
    const name = metric ? $("metric").selectedOptions[0].textContent : "";
    const caption = make("caption", { className: "note", textContent: name });
    $("pivot").replaceChildren(caption, make("thead", {}, head), make("tbody", {}, ...lines));
    overview(setting.id, metric);
    $("rank").textContent = setting.ranks[metric] || "";
    $("setting-notes").replaceChildren(...setting.notes.map((n) => make("li", { textContent: n })));
  };
  const show = () => {
    fields.forEach((f) => { f.value = state.get(f.dataset.field) || ""; });
    if (document.activeElement !== $("f-text")) $("f-text").value = state.get("q") || "";
    pivot(); filter(); sort(); hideMethods();
  };
  const set = (changes) => {
    for (const [key, v] of Object.entries(changes)) if (v) state.set(key, v); else state.delete(key);
    history.replaceState(null, "", `#${state}`);
  };
  const read = () => {
    const hash = location.hash.slice(1);
    if (hash && !hash.includes("=")) return; // a place on the page
    [...state.keys()].forEach((k) => state.delete(k));
    new URLSearchParams(hash).forEach((v, k) => state.set(k, v));
    show();
  };
  heads.forEach((h, i) => h.firstElementChild.addEventListener("click", () => {
    const again = state.get("sort") === columns[i] && state.get("dir") !== "desc";
    set({ sort: columns[i], dir: again ? "desc" : "" });
    sort();
  }));
  fields.forEach((f) => f.addEventListener("change", () => { set({ [f.dataset.field]: f.value }); filter(); }));
  $("f-text").addEventListener("input", (e) => { set({ q: e.target.value.trim() }); filter(); });
  $("reset").addEventListener("click", () => {
    $("f-text").value = "";
    set({ q: "", sort: "", dir: "", ...Object.fromEntries(fields.map((f) => [f.dataset.field, ""])) });
    show();
  });
  for (const [id, key] of [["setting", "setting"], ["metric", "metric"], ["place", "target"]]) {
    $(id).addEventListener("change", (e) => { set({ [key]: e.target.value }); pivot(); });
  }
  document.querySelectorAll("form").forEach((f) => f.addEventListener("submit", (e) => e.preventDefault()));
  $("filters").hidden = false;
  addEventListener("hashchange", read);
  read();
  if (!location.hash.includes("=")) show();
})();
