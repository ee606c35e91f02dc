// Says what could have stood at a token: under the pointer, or by the arrow keys. The table below has the same.
// @ts-check
const strip = /** @type {HTMLElement|null} */ (document.querySelector(".strip"));
const tip = document.getElementById("tip");
if (strip && tip) {
  const tokens = /** @type {HTMLElement[]} */ ([...strip.querySelectorAll(".tok")]);
  let at = tokens.findIndex((token) => token.classList.contains("dud"));
  /** @param {HTMLElement} token */
  const show = (token) => {
    tokens.forEach((other) => other.classList.toggle("here", other === token));
    tip.replaceChildren(...(token.dataset.tip || "nothing is known of it").split("\n").flatMap((line, i) => { const part = document.createElement("span"); part.textContent = line; return i ? [document.createElement("br"), part] : [part]; }));
  };
  strip.addEventListener("mouseover", (event) => { const token = /** @type {Element} */ (event.target).closest(".tok"); if (token) { at = tokens.indexOf(/** @type {HTMLElement} */ (token)); show(/** @type {HTMLElement} */ (token)); } });
  strip.addEventListener("click", (event) => { const token = /** @type {Element} */ (event.target).closest(".tok"); if (token) show(/** @type {HTMLElement} */ (token)); });
  strip.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") at = Math.min(tokens.length - 1, at + 1);
    else if (event.key === "ArrowLeft") at = Math.max(0, at - 1);
    else return;
    event.preventDefault();
    show(tokens[at]);
  });
  if (at >= 0) show(tokens[at]);
}
