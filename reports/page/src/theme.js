// Light, dark, or what the system says. Charts ask for colours here and are told when they change.
import { h } from "./dom.js";

const kChoices = ["auto", "light", "dark"];
const listeners = new Set();
let chosen = "auto";

export const onThemeChange = (listener) => listeners.add(listener);

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function apply() {
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  for (const listener of listeners) listener();
}

export function themeButton() {
  const words = () => `Colours: ${chosen}`;
  const button = h("button", {
    type: "button",
    class: "quiet",
    onclick: () => {
      chosen = kChoices[(kChoices.indexOf(chosen) + 1) % kChoices.length];
      button.textContent = words();
      apply();
    },
  }, words());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  return button;
}
