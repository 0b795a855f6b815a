"use strict";
// Light or dark: what the system says, until the button is pressed; the choice is kept.
(() => {
  const root = document.documentElement;
  const stored = () => { try { return localStorage.getItem("fsig-theme"); } catch { return null; } };
  if (["dark", "light"].includes(stored())) root.dataset.theme = stored();
  const start = () => {
    const button = document.getElementById("theme");
    const prefers = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : prefers.matches;
    const name = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
    button.hidden = false;
    name();
    prefers.addEventListener("change", name);
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem("fsig-theme", root.dataset.theme); } catch { /* private window */ }
      name();
    });
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start); else start();
})();
