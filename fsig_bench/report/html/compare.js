"use strict";
// Two runs side by side.
(() => {
  const { $, make, json, tile, magnify } = fsig;
  const groups = json("groups"), sides = [$("left"), $("right")];
  const draw = () => {
    const runs = groups[$("group").value].runs;
    const [a, b] = sides.map((s) => runs[s.value]);
    const count = Math.min(a.sheet.count, b.sheet.count);
    const link = (run) => make("a", { href: run.page, textContent: run.label });
    $("pair-status").replaceChildren("Left: ", link(a), "; right: ", link(b), `; images 0 to ${count - 1}.`);
    if (a.seed !== b.seed) $("pair-status").append(" The seeds differ, so equal indices share no random draws.");
    $("couples").replaceChildren(...Array.from({ length: count }, (_, i) => make("li", {},
      make("span", { textContent: i }),
      make("button", { type: "button", className: "couple", onclick: () => magnify([a, b], i) },
        ...[a, b].map((run) => tile(run.sheet, i, 96, `${run.label}, image ${i}`))))));
    const shots = groups[$("group").value].shots;
    $("pair-shots").replaceChildren(...typeof shots === "string"
      ? [`The shots cannot be shown here: ${shots}.`]
      : Array.from({ length: shots.count }, (_, i) => tile(shots, i, 64, `shot ${i}`)));
    const numbers = [a, b].map((run) => new Map(run.numbers));
    const names = [...new Map([...a.numbers, ...b.numbers]).keys()];
    const head = (text, n) => make("th", { scope: "col", className: n ? "n" : "", textContent: text });
    $("pair-numbers").replaceChildren(
      make("thead", {}, make("tr", {}, head("Run"), ...names.map((n) => head(n, true)))),
      make("tbody", {}, ...[a, b].map((run, i) => make("tr", {},
        make("th", { scope: "row", textContent: run.label }),
        ...names.map((n) => make("td", { className: "n", textContent: numbers[i].get(n) ?? "-" }))))));
    $("pair-rules").textContent = a.setting === b.setting ? `Both were scored under ${a.setting}.`
      : `The numbers do not compare: left ${a.setting}; right ${b.setting}.`;
    const words = { group: $("group").value, left: sides[0].value, right: sides[1].value };
    history.replaceState(null, "", `#${new URLSearchParams(words)}`);
  };
  const fill = (left, right) => {
    const runs = groups[$("group").value].runs;
    sides.forEach((s) => s.replaceChildren(...runs.map((r, i) => make("option", { value: i, textContent: r.label }))));
    const other = runs.findIndex((r, i) => i && r.seed === runs[0].seed && r.sheet.path !== runs[0].sheet.path);
    sides[0].value = runs[left] ? left : 0;
    sides[1].value = runs[right] ? right : Math.max(other, 1);
    draw();
  };
  const words = new URLSearchParams(location.hash.slice(1));
  if (groups[words.get("group")]) $("group").value = words.get("group");
  $("group").addEventListener("change", () => fill());
  sides.forEach((s) => s.addEventListener("change", draw));
  $("pair-controls").addEventListener("submit", (e) => e.preventDefault());
  fill(words.get("left"), words.get("right"));
})();
