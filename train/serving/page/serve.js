// Draw, pick tags, see it coloured: by each model, for each set of tags.

import { byId, counted, make } from "./make.js";
import { Paper } from "./paper.js";
import { TagSet, parsed, randomColors } from "./tags.js";

const paper = new Paper(byId("paper"), () => {
  byId("undo").disabled = !paper.past.length;
  byId("draw").classList.toggle("blank", !paper.drawn);
});
let models = [];
let sets = [];
let run = 0;

function say(text, bad = false) {
  byId("message").textContent = text;
  byId("message").classList.toggle("bad", bad);
}

async function asked(address, options) {
  const response = await fetch(address, options).catch(() => null);
  if (!response) throw new Error("the server does not answer: is train serve still running?");
  if (response.ok) return response;
  const told = await response.json().catch(() => ({ detail: `the server answered ${response.status}` }));
  throw new Error(Array.isArray(told.detail) ? told.detail.map((one) => one.msg).join("; ") : told.detail);
}

function address(model, tags) {
  const query = new URLSearchParams({ model: model.number, tags: tags.join(", "), negative: parsed(byId("negative").value).join(", ") });
  if (byId("guidance").value !== "1") query.set("guidance", byId("guidance").value); // of 1 the server makes what is usual
  query.set("method", byId("method").value);
  query.set("keep_lines", byId("keep").checked);
  return `api/colorize?${query}`;
}

async function colored(model, set, drawing) {
  const options = { method: "POST", headers: { "content-type": "image/png" }, body: drawing };
  const picture = await (await asked(address(model, set.chosen), options)).blob();
  const bitmap = await createImageBitmap(picture);
  const words = set.chosen.length ? set.chosen.join(", ") : "no tags";
  const canvas = make("canvas", { width: bitmap.width, height: bitmap.height, role: "img", "aria-label": `Coloured by ${model.name}: ${words}` });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const link = make("a", { href: "#results", click: (event) => download(event, picture, `${model.name}-${set.chosen.join("-") || "no-tags"}.png`) }, "Download");
  const told = models.length > 1 ? `${model.name}: ${words}` : words;
  return make("figure", {}, canvas, make("figcaption", {}, make("span", {}, told), link));
}

function download(event, picture, name) {
  event.preventDefault();
  const href = URL.createObjectURL(picture);
  make("a", { href, download: name.replace(/[^\w.-]+/g, "_").slice(0, 100) }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

async function color() {
  const mine = ++run;
  for (const set of sets) set.typed();
  const chosen = models.filter((model) => byId(`model-${model.number}`).checked);
  if (!chosen.length) return say("choose a model", true);
  if (!paper.drawn) return say("draw something first, or choose a picture", true);
  say("colouring …");
  byId("go").disabled = true;
  try {
    const drawing = await paper.png();
    const rows = [make("div", { class: "row" })];
    const faults = [];
    for (const set of sets) {
      // of one model the sets stand side by side, of several the models
      if (chosen.length > 1 && rows.at(-1).children.length) rows.push(make("div", { class: "row" }));
      for (const model of chosen) {
        const failed = (error) => (faults.push(`${model.name}: ${error.message}`), make("figure", {}, make("p", { class: "bad" }, faults.at(-1))));
        rows.at(-1).append(await colored(model, set, drawing).catch(failed));
      }
    }
    if (faults.length === chosen.length * sets.length) return say(faults[0], true);
    if (mine === run) byId("results").replaceChildren(...rows);
    byId("results").scrollIntoView({ block: "nearest" });
    say(faults.length ? faults[0] : "done", faults.length > 0);
  } catch (error) {
    say(error.message, true);
  } finally {
    byId("go").disabled = false;
  }
}

// what any of the models knows, each tag once, the most frequent of the first model first
const known = () => [...new Map(models.toReversed().flatMap((model) => model.tags.toReversed()).map((tag) => [tag.name, tag])).values()].reverse();

// told as soon as it is typed, not when it is coloured
function doubt() {
  const tags = [...new Set(sets.flatMap((set) => set.chosen))];
  const chosen = models.filter((model) => byId(`model-${model.number}`).checked);
  const strange = tags.flatMap((tag) => chosen.filter((model) => !model.tags.some((one) => one.name === tag)).map((model) => `${model.name} does not know ${tag}`));
  say(strange.join("; "), strange.length > 0);
}

function arrange() {
  const labels = byId("compare").checked ? ["A", "B"] : ["A"];
  sets = labels.map((label) => sets.find((set) => set.label === label) ?? new TagSet(label, known(), doubt));
  byId("sets").classList.toggle("one", sets.length === 1);
  const none = !known().length;
  for (const name of ["compare", "negative", "seed", "chance"]) byId(name).disabled = none;
  byId("sets").replaceChildren(...(none ? [make("p", {}, "Trained without tags: it chooses the colours itself.")] : sets.map((set) => set.element)));
}

function listen() {
  byId("wish").addEventListener("submit", (event) => (event.preventDefault(), color()));
  byId("compare").addEventListener("change", arrange);
  byId("guidance").addEventListener("input", () => (byId("guided").textContent = byId("guidance").value));
  byId("width").addEventListener("input", () => (paper.width = Number(byId("width").value)));
  byId("undo").addEventListener("click", () => paper.undo());
  byId("clear").addEventListener("click", () => paper.clear());
  for (const name of ["pen", "rubber"]) byId(name).addEventListener("click", () => {
    paper.rubber = name === "rubber";
    for (const one of ["pen", "rubber"]) byId(one).setAttribute("aria-pressed", String(one === name));
  });
  byId("chance").addEventListener("click", () => {
    for (const [place, set] of sets.entries()) set.set(randomColors(set.chosen, known(), Number(byId("seed").value) + 7919 * place));
    byId("seed").value = (Number(byId("seed").value) + 1) % 1_000_000;
  });
  const take = (file) => file && paper.take(file).then(() => say(""), (error) => say(error.message, true));
  byId("file").addEventListener("change", () => take(byId("file").files[0]));
  const frame = byId("paper-frame");
  for (const name of ["dragover", "dragleave", "drop"]) frame.addEventListener(name, (event) => {
    event.preventDefault();
    frame.classList.toggle("over", name === "dragover");
    if (name === "drop") take(event.dataTransfer.files[0]);
  });
}

async function start() {
  listen();
  models = await (await asked("api/models")).json();
  byId("models").append(...models.map((model) => make("label", { class: "check" },
    make("input", { type: "checkbox", id: `model-${model.number}`, checked: true }), `${model.name} (${model.preset}, ${model.size} px)`)));
  byId("known").append(...known().map((tag) => make("option", { value: tag.name }, tag.count === null ? "" : counted(tag.count, "pair"))));
  arrange();
}

start().catch((error) => say(error.message, true));
