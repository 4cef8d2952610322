// Elements from code. Text is only ever put in as text, as a report holds what compilers said.

export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

// A labelled choice. options: [value, words] each.
export function choice(label, options, value, onChange) {
  const select = h("select", { onchange: () => onChange(select.value) },
    options.map(([key, words]) => h("option", { value: key, selected: key === value }, words)));
  return h("label", { class: "field" }, h("span", {}, label), select);
}

export function section(title, ...children) {
  return h("section", {}, h("h2", {}, title), children);
}
