// Whatever scrolls sideways can be reached, and scrolled, with the keyboard.
"use strict";

(() => {
  const WIDE = "article pre, article table, article .math, article .cell_output";

  function reach() {
    for (const element of document.querySelectorAll(WIDE)) {
      if (element.scrollWidth > element.clientWidth + 1) element.tabIndex = 0;
      else element.removeAttribute("tabindex");
    }
  }

  reach();
  window.addEventListener("load", reach);
  window.addEventListener("resize", reach);
})();
