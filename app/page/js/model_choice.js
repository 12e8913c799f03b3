// The choice of a model in a task's panel.

import { ask, models } from "./api.js";
import { fillSelect } from "./dom.js";
import { hush, tell } from "./notice.js";

export const referenceOf = ({ name, version }) => `${name}@${version}`;

/**
 * Offer the served models of a task, the default one first. What is wrong is told in a notice.
 *
 * @param {string} task
 * @param {object} panel - select; error: its notice; form; none: what is said where there is none; ``sessions``: whether it
 *   needs them; ``take(model)``: told the first one, and each that is chosen.
 *   Buttons of the form with the class ``with-model`` are disabled in the page: a click before there is one would be lost.
 */
export async function offerModels(task, panel) {
  const { select, error, form = null, none, sessions = false, take } = panel;
  hush(error, form);
  try {
    const own = (await models()).filter((one) => one.task === task);
    if (!own.length) {
      tell(error, { title: none, detail: "The folder of models holds none.", errors: [] });
      return;
    }
    if (sessions) await ask("/sessions?limit=1"); // says so where there are none
    const first = own.find((one) => one.default) ?? own[0];
    fillSelect(select, own.map((one) => ({ value: referenceOf(one), label: referenceOf(one) })), referenceOf(first));
    select.onchange = () => take(own[select.selectedIndex]);
    take(first);
    form?.querySelectorAll(".with-model").forEach((button) => { button.disabled = false; });
  } catch (problem) {
    if (problem.status !== 401) tell(error, problem, { again: () => offerModels(task, panel) });
  }
}
