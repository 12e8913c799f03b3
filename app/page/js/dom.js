// Building and reading the document. Texts are always set as text, never as markup.

export const byId = (id) => document.getElementById(id);

/** An element with properties, attributes (data-, aria-, role, ...) and children. */
export function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An SVG element with attributes. */
export function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function fillSelect(select, options, chosen) {
  fill(
    select,
    ...options.map(({ value, label }) => make("option", { value, selected: value === chosen }, label)),
  );
}

/** A plain table of a header and rows of texts. */
export function fillTable(table, header, rows) {
  const head = make("tr", {}, ...header.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, String(cell)))));
  fill(table, make("thead", {}, head), make("tbody", {}, ...body));
}

export const number = (element) => (element.value.trim() === "" ? null : Number(element.value));

export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Offer a blob as a download. */
export function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Copy an element's text; where a browser forbids that, as on plain http, select it, and say false. */
export async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return false;
  }
}

/** Let files be dropped on an element that has a file input inside. */
export function dropZone(zone, input, take) {
  const over = (is) => (event) => {
    event.preventDefault();
    zone.classList.toggle("over", is);
  };
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", (event) => {
    over(false)(event);
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = ""; // the same file may be chosen again
  });
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The next frame that is drawn, or a timer: a tab that is hidden, also just now, draws none. */
export const nextFrame = () =>
  new Promise((resolve) => {
    requestAnimationFrame(resolve);
    setTimeout(resolve, 100);
  });
