"use strict";
// Two runs side by side.
(() => {
  const { $, make, json, tile, magnify } = fsig;
  const groups = json("groups"), sides = [$("left"), $("right")];
  // Two methods whose images of equal index belong beside each other; a group has one set of shots.
  const paired = (a, b) => a.method !== b.method && a.seed === b.seed && a.draw === b.draw;
  const draw = () => {
    const runs = groups[$("group").value].runs;
    const [a, b] = sides.map((s) => runs[s.value]);
    const count = Math.min(a.sheet.count, b.sheet.count);
    const link = (run) => make("a", { href: run.page, textContent: run.label });
    $("pair-status").replaceChildren("Left: ", link(a), "; right: ", link(b), `; images 0 to ${count - 1}.`);
    if (a.draw !== b.draw) $("pair-status").append(` The draws differ (${a.draw} and ${b.draw}), so equal indices share no random draws.`);
    if (a.seed !== b.seed) $("pair-status").append(` The seeds of adapting differ (${a.seed} and ${b.seed}).`);
    const few = new Set([a, b].filter((run) => run.few).map((run) => run.label));
    if (few.size) $("pair-status").append(` Only the first samples of ${[...few].join(" and of ")} are stored here.`);
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
    const first = Math.max(runs.findIndex((r) => runs.some((other) => paired(r, other))), 0);
    const other = runs.findIndex((r) => paired(runs[first], r));
    sides[0].value = runs[left] ? left : first;
    sides[1].value = runs[right] ? right : other < 0 ? 1 : other;
    draw();
  };
  // Another run on the left: the method on the right follows with its run of that seed and draw.
  const follow = () => {
    const runs = groups[$("group").value].runs, [a, b] = sides.map((s) => runs[s.value]);
    const same = runs.findIndex((r) => r.method === b.method && paired(a, r));
    if (same >= 0) sides[1].value = same;
    draw();
  };
  const words = new URLSearchParams(location.hash.slice(1));
  if (groups[words.get("group")]) $("group").value = words.get("group");
  $("group").addEventListener("change", () => fill());
  sides[0].addEventListener("change", follow);
  sides[1].addEventListener("change", draw);
  $("pair-controls").addEventListener("submit", (e) => e.preventDefault());
  fill(words.get("left"), words.get("right"));
})();
