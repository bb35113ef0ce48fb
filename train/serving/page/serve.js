// The page: draw, pick tags, and see the drawing coloured by each model for each set of tags.

import { byId, counted, make } from "./dom.js";
import { Paper } from "./canvas.js";
import { TagSet, parseTags, randomColors } from "./tags.js";

const paper = new Paper(byId("paper"), () => {
  byId("undo").disabled = !paper.undoSteps.length;
  byId("draw").classList.toggle("blank", !paper.hasDrawing);
});
let models = [];
let sets = [];
let latestRun = 0;

function say(text, isError = false) {
  byId("message").textContent = text;
  byId("message").classList.toggle("bad", isError);
}

async function request(address, options) {
  const response = await fetch(address, options).catch(() => null);
  if (!response) throw new Error("The server does not answer. Is train serve still running?");
  if (response.ok) return response;
  const { detail } = await response.json().catch(() => ({ detail: `The server answered ${response.status}.` }));
  throw new Error(Array.isArray(detail) ? detail.map((fault) => fault.msg).join("; ") : detail);
}

const chosenModels = () => models.filter((model) => byId(`model-${model.number}`).checked);

function colorizeAddress(model, tags) {
  const query = new URLSearchParams({ model: model.number, tags: tags.join(", "), negative: parseTags(byId("negative").value).join(", ") });
  if (byId("guidance").value !== "1") query.set("guidance", byId("guidance").value); // at 1 the server takes its default: 2 with negative tags
  query.set("method", byId("method").value);
  query.set("keep_lines", byId("keep-lines").checked);
  return `api/colorize?${query}`;
}

async function coloredFigure(model, set, drawing) {
  const options = { method: "POST", headers: { "content-type": "image/png" }, body: drawing };
  const picture = await (await request(colorizeAddress(model, set.chosen), options)).blob();
  const bitmap = await createImageBitmap(picture);
  const tags = set.chosen.length ? set.chosen.join(", ") : "no tags";
  const canvas = make("canvas", { width: bitmap.width, height: bitmap.height, role: "img", "aria-label": `Coloured by ${model.name}: ${tags}` });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const link = make("a", { href: "#results", click: (event) => download(event, picture, `${model.name}-${set.chosen.join("-") || "no-tags"}.png`) }, "Download");
  const caption = models.length > 1 ? `${model.name}: ${tags}` : tags;
  return make("figure", {}, canvas, make("figcaption", {}, make("span", {}, caption), link));
}

function download(event, picture, name) {
  event.preventDefault();
  const href = URL.createObjectURL(picture);
  make("a", { href, download: name.replace(/[^\w.-]+/g, "_").slice(0, 100) }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

async function color() {
  const thisRun = ++latestRun;
  for (const set of sets) set.takeTyped();
  const chosen = chosenModels();
  if (!chosen.length) return say("Choose a model.", true);
  if (!paper.hasDrawing) return say("Draw something first, or choose a picture.", true);
  say("Colouring …");
  byId("color").disabled = true;
  try {
    const drawing = await paper.png();
    const rows = [make("div", { class: "row" })];
    const faults = [];
    for (const set of sets) {
      // with one model the sets stand side by side, with several the models do
      if (chosen.length > 1 && rows.at(-1).children.length) rows.push(make("div", { class: "row" }));
      for (const model of chosen) {
        const failedFigure = (error) => {
          faults.push(`${model.name}: ${error.message}`);
          return make("figure", {}, make("p", { class: "bad" }, faults.at(-1)));
        };
        rows.at(-1).append(await coloredFigure(model, set, drawing).catch(failedFigure));
      }
    }
    if (faults.length === chosen.length * sets.length) return say(faults[0], true);
    if (thisRun === latestRun) byId("results").replaceChildren(...rows);
    byId("results").scrollIntoView({ block: "nearest" });
    say(faults.length ? faults[0] : "Done.", faults.length > 0);
  } catch (error) {
    say(error.message, true);
  } finally {
    byId("color").disabled = false;
  }
}

// tags that any model knows, each once; the first model's come first, most frequent first
const knownTags = () => [...new Map(models.toReversed().flatMap((model) => model.tags.toReversed()).map((tag) => [tag.name, tag])).values()].reverse();

// warns while tags are chosen, before anything is coloured
function warnOfUnknownTags() {
  const tags = [...new Set(sets.flatMap((set) => set.chosen))];
  const warnings = tags.flatMap((tag) => chosenModels().filter((model) => !model.tags.some(({ name }) => name === tag)).map((model) => `${model.name} does not know ${tag}`));
  say(warnings.join("; "), warnings.length > 0);
}

function showTagSets() {
  const labels = byId("compare").checked ? ["A", "B"] : ["A"];
  sets = labels.map((label) => sets.find((set) => set.label === label) ?? new TagSet(label, knownTags(), warnOfUnknownTags));
  byId("sets").classList.toggle("single", sets.length === 1);
  const untagged = !knownTags().length;
  for (const name of ["compare", "negative", "seed", "random-colors"]) byId(name).disabled = untagged;
  byId("sets").replaceChildren(...(untagged ? [make("p", {}, "This model was trained without tags: it chooses the colours itself.")] : sets.map((set) => set.element)));
}

function pickRandomColors() {
  const seed = Number(byId("seed").value);
  for (const [place, set] of sets.entries()) set.set(randomColors(set.chosen, knownTags(), seed + 7919 * place)); // other colours in B than in A
  byId("seed").value = (seed + 1) % 1_000_000;
}

function chooseTool(tool) {
  paper.erasing = tool === "eraser";
  for (const name of ["pen", "eraser"]) byId(name).setAttribute("aria-pressed", String(name === tool));
}

function listen() {
  byId("prompt").addEventListener("submit", (event) => (event.preventDefault(), color()));
  byId("compare").addEventListener("change", showTagSets);
  byId("guidance").addEventListener("input", () => (byId("guidance-value").textContent = byId("guidance").value));
  byId("width").addEventListener("input", () => (paper.penWidth = Number(byId("width").value)));
  byId("undo").addEventListener("click", () => paper.undo());
  byId("clear").addEventListener("click", () => paper.clear());
  for (const tool of ["pen", "eraser"]) byId(tool).addEventListener("click", () => chooseTool(tool));
  byId("random-colors").addEventListener("click", pickRandomColors);
  const load = (file) => file && paper.load(file).then(() => say(""), (error) => say(error.message, true));
  byId("file").addEventListener("change", () => load(byId("file").files[0]));
  const frame = byId("paper-frame");
  for (const name of ["dragover", "dragleave", "drop"]) frame.addEventListener(name, (event) => {
    event.preventDefault();
    frame.classList.toggle("over", name === "dragover");
    if (name === "drop") load(event.dataTransfer.files[0]);
  });
}

async function start() {
  listen();
  models = await (await request("api/models")).json();
  byId("models").append(...models.map((model) => make("label", { class: "check" },
    make("input", { type: "checkbox", id: `model-${model.number}`, checked: true }), `${model.name} (${model.preset}, ${model.size} px)`)));
  byId("known-tags").append(...knownTags().map((tag) => make("option", { value: tag.name }, tag.count === null ? "" : counted(tag.count, "pair"))));
  showTagSets();
}

start().catch((error) => say(error.message, true));
