// Reads samples by keyboard: j k move, Enter opens, p f u label. Without it the links and buttons do the same.
// @ts-check
const list = /** @type {HTMLElement|null} */ (document.querySelector("ol.samples"));
const items = list ? /** @type {HTMLElement[]} */ ([...list.querySelectorAll("[data-sample]")]) : [];
const form = /** @type {HTMLFormElement|null} */ (document.querySelector("form[data-labels]"));
const words = { p: "pass", f: "fail", u: "unsure" };
let at = -1;

/** @param {number} to */
function move(to) {
  if (!items.length) return;
  at = Math.max(0, Math.min(items.length - 1, to));
  items.forEach((item, i) => item.classList.toggle("here", i === at));
  items[at].focus({ preventScroll: true });
  items[at].scrollIntoView({ block: "nearest" });
}

/** @param {string} id @param {string} word @param {string} mark @param {Element|null} said */
async function label(id, word, mark, said) {
  const ask = { method: "POST", headers: { accept: "application/json" }, body: new URLSearchParams({ outcome: word, mark }) };
  const told = await fetch(`/samples/${id}/label`, ask).then(async (reply) => reply.ok ? `a person says ${word}` : "it could not be kept: " + (await reply.text()), () => "it could not be kept: the server does not answer");
  if (said) said.textContent = told;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(/** @type {Element} */ (event.target).tagName)) return;
  if (list) {
    if (event.key === "j") move(at + 1);
    else if (event.key === "k") move(at - 1);
    else if (event.key === "Enter" && at >= 0 && document.activeElement === items[at]) /** @type {HTMLElement} */ (items[at].querySelector("a"))?.click();
    else if (event.key in words && at >= 0) { label(items[at].dataset.sample || "", words[event.key], list.dataset.mark || "", items[at].querySelector("[data-label]")); move(at + 1); }
    else return;
    event.preventDefault();
  } else if (form) {
    if (event.key === "j" || event.key === "k") /** @type {HTMLElement|null} */ (document.querySelector(event.key === "j" ? "a[rel=next]" : "a[rel=prev]"))?.click();
    else if (event.key in words) label(location.pathname.split("/")[2], words[event.key], /** @type {any} */ (form.elements.namedItem("mark")).value, document.querySelector("p[data-label]"));
  }
});
document.addEventListener("click", (event) => { const item = /** @type {Element} */ (event.target).closest("ol.samples > li"); if (item && !(/** @type {Element} */ (event.target).closest("a"))) move(items.indexOf(/** @type {HTMLElement} */ (item))); });
