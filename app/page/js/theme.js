// Runs before the first paint, so that the page never flashes in the other colours.
"use strict";

(function () {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let choice = "auto";
  try {
    choice = localStorage.getItem("rnnserve.theme") || "auto";
  } catch {
    // storage may be turned off; the choice then holds until the page is loaded again
  }

  function apply() {
    const dark = choice === "dark" || (choice === "auto" && system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    document.dispatchEvent(new CustomEvent("theme"));
  }

  window.rnnserveTheme = {
    get choice() {
      return choice;
    },
    choose(wanted) {
      choice = wanted;
      try {
        localStorage.setItem("rnnserve.theme", choice);
      } catch {
        // as above
      }
      apply();
    },
  };
  system.addEventListener("change", apply);
  apply();
})();
