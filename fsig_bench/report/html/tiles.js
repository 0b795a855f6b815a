"use strict";
// What the other scripts share: making elements, one image of a sheet, and images magnified.
const fsig = (() => {
  const $ = (id) => document.getElementById(id);
  const make = (tag, fields = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), fields);
    node.append(...children);
    return node;
  };
  const json = (id) => JSON.parse($(id).textContent);

  // ---- one image of a sheet, `size` pixels wide -----------------------------------------------
  const up = document.body.dataset.root;
  const tile = (sheet, index, size, alt) => {
    const img = make("img", { src: up + sheet.path, alt, decoding: "async" });
    const rows = Math.ceil(sheet.count / sheet.columns);
    img.style.width = `${sheet.columns * size}px`;
    img.style.height = `${rows * size}px`;
    img.style.left = `${-(index % sheet.columns) * size}px`;
    img.style.top = `${-Math.floor(index / sheet.columns) * size}px`;
    if (size < sheet.tile) img.style.imageRendering = "auto";
    const box = make("span", { className: "tile" }, img);
    box.style.width = box.style.height = `${size}px`;
    return box;
  };

  // ---- magnified: image `index` of every row { sheet, label }; arrow keys go to the next index --
  let dialog = null, rows = [], at = 0;
  const draw = () => {
    const count = Math.min(...rows.map((row) => row.sheet.count));
    at = Math.min(Math.max(at, 0), count - 1);
    dialog.querySelector("output").textContent = `Image ${at} (0 to ${count - 1})`;
    const room = Math.min(innerWidth, 1100) - 60;
    const size = rows.length > 2 ? 144 : Math.min(320, Math.floor(room / rows.length) - 12);
    dialog.querySelector(".magnified").replaceChildren(...rows.map((row) => {
      const figure = make("figure", {}, tile(row.sheet, at, size, `${row.label}, image ${at}`),
        make("figcaption", { textContent: row.label }));
      figure.style.width = `${size}px`;
      return figure;
    }));
  };
  const go = (by) => { at += by; draw(); };
  const magnify = (these, index) => {
    if (!dialog) {
      const button = (textContent, onclick) => make("button", { type: "button", textContent, onclick });
      dialog = make("dialog", { className: "magnifier", ariaLabel: "Images, magnified" },
        make("div", { className: "magnifier-head" }, button("Previous", () => go(-1)),
          make("output"), button("Next", () => go(1)), button("Close", () => dialog.close())),
        make("div", { className: "magnified" }));
      dialog.addEventListener("keydown", (e) => {
        const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
        if (by) { e.preventDefault(); go(by); }
      });
      dialog.addEventListener("click", (e) => { if (e.target === dialog) dialog.close(); });
      document.body.append(dialog);
    }
    [rows, at] = [these, index];
    draw();
    dialog.showModal();
  };

  // ---- strips of samples: a click, or the button above them, magnifies ------------------------
  for (const block of document.querySelectorAll(".strips")) {
    const strips = () => [...block.querySelectorAll(".strip-row:not(.shots)")]
      .filter((row) => row.style.display !== "none").map((row) => row.querySelector("img.strip"));
    const row = (img) => {
      const count = Number(img.dataset.count);
      const sheet = { path: img.dataset.path, count, columns: count, tile: Number(img.dataset.tile) };
      return { sheet, label: img.dataset.label };
    };
    if (!strips().length) continue;
    const open = (index) => { if (strips().length) magnify(strips().map(row), index); };
    block.prepend(make("button", { type: "button", className: "magnify", textContent: "Magnify", onclick: () => open(0) }));
    block.addEventListener("click", (e) => {
      if (!e.target.matches("img.strip")) return;
      const box = e.target.getBoundingClientRect();
      const index = Math.floor((e.clientX - box.left) / box.width * e.target.dataset.count);
      if (e.target.closest(".shots")) magnify([row(e.target)], index); else open(index);
    });
  }
  return { $, make, json, tile, magnify };
})();
