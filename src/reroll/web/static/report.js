// Shows the fields that the chosen expectation needs; without this script all are shown.
// @ts-check
const fields = [...document.querySelectorAll("[data-when]")];
function show() {
  const chosen = /** @type {HTMLInputElement|null} */ (document.querySelector("input[name=expect]:checked"));
  for (const field of fields) /** @type {HTMLElement} */ (field).hidden = !(field.getAttribute("data-when") || "").split(" ").includes(chosen ? chosen.value : "");
}
document.addEventListener("change", show);
show();
