// Problems, told in words where the person is looking.

import { fill, make } from "./dom.js";

/** Show a problem in a notice, and mark the fields of a form that it names. */
export function tell(notice, error, { form = null, again = null } = {}) {
  if (error.name === "AbortError") return;
  hush(notice, form);
  if (error.title === undefined) {
    console.error(error);
  }
  const lines = [make("strong", {}, error.title || "Something went wrong on this page")];
  const placed = form ? placeErrors(form, error.errors || []) : [];
  const rest = (error.errors || []).filter((one) => !placed.includes(one));
  const named = rest.length > 1 || (rest.length === 1 && rest[0].message !== error.detail);
  if (error.detail || error.message) lines.push(make("p", {}, error.detail || error.message));
  if (named) lines.push(make("ul", {}, ...rest.map((one) => make("li", {}, `${one.field}: ${one.message}`))));
  if (error.retryAfter !== null && error.retryAfter !== undefined) {
    lines.push(make("p", {}, `Trying again may help in ${Math.max(1, Math.ceil(error.retryAfter))} s.`));
  }
  if (error.requestId) lines.push(make("p", { class: "id" }, `Request ${error.requestId}`));
  if (again) {
    lines.push(make("button", { type: "button", onclick: () => again() }, "Try again"));
  }
  fill(notice, ...lines);
}

export function hush(notice, form = null) {
  fill(notice);
  if (form) {
    form.querySelectorAll(".field-error").forEach((one) => one.remove());
    form.querySelectorAll("[aria-invalid]").forEach((one) => {
      one.removeAttribute("aria-invalid");
      one.removeAttribute("aria-describedby");
    });
  }
}

/** Say what is wrong with one field. */
export function markField(control, message) {
  const id = `${control.id}-wrong`;
  document.getElementById(id)?.remove();
  control.setAttribute("aria-invalid", "true");
  control.setAttribute("aria-describedby", id);
  control.after(make("span", { id, class: "field-error" }, message));
}

function placeErrors(form, errors) {
  return errors.filter((one) => {
    const name = one.field.split(".")[0];
    const control = form.querySelector(`[data-field="${CSS.escape(name)}"]`);
    if (!control || control.offsetParent === null) return false;
    markField(control, one.message);
    return true;
  });
}
