// The page: reads its URL, asks the server, shows the answer, and handles keys and clicks.

import { button, byId, counted, make } from "./dom.js";
import { showHelp } from "./help.js";
import { counterpart, edit, panel } from "./picture.js";
import { go, here } from "./url_state.js";
import { ITEMS_PER_PAGE, beside, decisions, families, pictures, unknownWords } from "./lists.js";
import { get, post } from "./api_client.js";
import { DECISION_NAMES, moveFocus, setTabStop } from "./tiles.js";

const FAMILY_ORDERS = { added: "in the order added", size: "largest first", duplicates: "most copies first", distance: "least similar copies first" };

let dataset = null;
let selected = null;
let pendingRequest = new AbortController();

const controller = {
  marked: null,
  select(row) {
    if (!row.id) return say(`${row.path}: ${row.error ?? "it has no id"}`);
    go({ picture: row.id });
  },
  close() {
    const id = here().picture;
    cover(false);
    go({ picture: "" });
    setTabStop(id, true);
  },
  mark(row) {
    controller.marked = controller.marked?.id === row.id ? null : row;
    say(controller.marked ? `Marked ${row.path}: open another picture to compare it with.` : "No picture is marked.");
    show();
  },
  // adds a word to the filter, in place of its opposite
  add(word) {
    const value = /\s/.test(word) ? word.replace(/^([a-z_]+:)(.*)$/, '$1"$2"') : word;
    const words = here().filter.split(/\s+/).filter((one) => one && one !== value && one !== `-${value}` && `-${one}` !== value);
    go({ view: here().view === "decisions" ? "pictures" : here().view, filter: [...words, value].join(" "), start: "0" });
  },
  // replaces a word of the filter by a similar one
  replace(word, other) {
    const swap = (tag) => (tag === word ? other : tag);
    const swapInOr = (one) => (one.startsWith("-") ? `-${one.slice(1).split("|").map(swap).join("|")}` : one.split("|").map(swap).join("|"));
    go({ filter: here().filter.split(/\s+/).map((one) => (one === word ? other : swapInOr(one))).join(" "), start: "0" });
  },
  reload: () => show(),
  decide: (kind, ids, tags = null) => store(() => post("decisions", { kind, pictures: ids, tags })),
  undo: (row) => store(() => post("decisions", { kind: "undo", pictures: [String(row.sequence)] })),
  // decides that the picture is different from all its look-alikes
  async decideDifferent(picture) {
    const isDecided = (id) => picture.decisions.some((one) => one.holds && one.kind === "different" && [one.a, one.b].includes(id));
    const pairs = picture.looks.filter((one) => !isDecided(one.tile.id));
    await store(async () => {
      let last = null;
      for (const [position, one] of pairs.entries()) {
        say(`${position + 1} of ${pairs.length} …`);
        last = await post("decisions", { kind: "different", pictures: [picture.tile.id, one.tile.id] });
      }
      return last;
    });
  },
};

function say(content, bad = false) {
  byId("message").replaceChildren(...[content].flat());
  byId("message").className = bad ? "bad" : "";
}

// sends a decision, then shows it
async function store(send) {
  try {
    const row = await send();
    if (row) say(`Stored: ${row.kind === "undo" ? `undo ${row.a}` : DECISION_NAMES[row.kind]} ${row.paths.join(" and ")}`);
    await show();
  } catch (error) {
    say(error.message, true);
  }
}

async function undoLast() {
  const last = (await get("decisions", { count: 200 })).rows.find((one) => one.holds && one.kind !== "undo");
  if (last) await controller.undo(last);
  else say("There is no decision to undo.");
}

// ---- showing

function layersToShow(place) {
  const lines = dataset.layers.filter((layer) => layer !== "color");
  if (place.show === "color" || !lines.length) return ["color"];
  if (place.show === "all") return dataset.layers;
  return lines.includes(place.show) ? [place.show, "color"] : [lines[0], "color"];
}

async function list(place, signal) {
  const start = Math.max(0, Number.parseInt(place.start, 10) || 0);
  const query = { filter: place.filter, where: place.where, start, count: ITEMS_PER_PAGE[place.view] };
  const layers = layersToShow(place);
  if (place.view === "decisions") return [decisions(controller, await get("decisions", { start, count: ITEMS_PER_PAGE.decisions }, signal), start), [], []];
  if (place.view === "families") {
    const page = await get("families", { ...query, order: place.order || "added" }, signal);
    return [families(controller, page, start, layers), [], page.problem ? [page.problem] : unknownWords(controller, page.unknown)];
  }
  const [order, direction] = place.order.split(".");
  const page = await get("pictures", { ...query, order, descending: direction === "down" }, signal);
  return [pictures(controller, page, start, layers), beside(controller, page), page.problem ? [page.problem] : unknownWords(controller, page.unknown)];
}

async function show() {
  pendingRequest.abort();
  pendingRequest = new AbortController();
  const { signal } = pendingRequest;
  const place = here();
  byId("list").setAttribute("aria-busy", "true");
  try {
    dataset = await get("dataset", {}, signal);
    controls(place);
    const [[items, aside, problems], picture] = await Promise.all([
      list(place, signal),
      place.picture ? get(`pictures/${encodeURIComponent(place.picture)}`, {}, signal) : null,
    ]);
    const focusedId = byId("list").contains(document.activeElement) ? document.activeElement.dataset.id : null;
    byId("list").replaceChildren(...items.flat().filter(Boolean));
    byId("beside").replaceChildren(...aside);
    byId("beside").hidden = !aside.length;
    if (problems.length) say(problems, true);
    else if (byId("message").className) say("");
    open(picture, place);
    setTabStop(focusedId ?? place.picture, focusedId && document.activeElement === document.body);
  } catch (error) {
    if (error.name === "AbortError") return;
    say(error.message, true);
    byId("list").replaceChildren();
  } finally {
    if (!signal.aborted) byId("list").removeAttribute("aria-busy");
  }
}

const narrow = matchMedia("(max-width: 60rem)"); // as in style.css, where the picture then covers the page

// makes what the picture covers unreachable for the keyboard
function cover(covered) {
  for (const element of [document.querySelector("header"), byId("search"), byId("list"), byId("beside")]) element.inert = covered && narrow.matches;
}

function open(picture, place) {
  const isOther = picture && picture.tile.id !== selected?.tile.id;
  const focused = byId("picture").contains(document.activeElement) ? document.activeElement : null;
  const name = focused?.textContent;
  selected = picture;
  byId("picture").hidden = !picture;
  document.body.classList.toggle("opened", Boolean(picture));
  cover(Boolean(picture));
  byId("picture").replaceChildren(...(picture ? panel(controller, picture, dataset.layers).filter(Boolean) : []));
  document.title = [picture?.tile.path, place.view, dataset.name, "nurie"].filter(Boolean).join(" · ");
  if (!picture) return;
  const sameButton = [...byId("picture").querySelectorAll("button")].find((one) => name && one.textContent === name);
  if (focused && !isOther) (sameButton ?? byId("picture-title")).focus();
  else if (isOther && (focused || narrow.matches)) byId("picture-title").focus();
  if (isOther) byId("picture").scrollTop = 0;
}

function controls(place) {
  byId("name").textContent = dataset.name;
  for (const link of byId("views").children) {
    if (link.dataset.view === place.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  byId("search").hidden = place.view === "decisions";
  for (const name of ["filter", "where"]) if (document.activeElement !== byId(name)) byId(name).value = place[name];
  options(byId("order"), orders(place.view), place.order);
  const lines = dataset.layers.filter((layer) => layer !== "color");
  const shown = [["", lines.length ? `${lines[0].replace("line_", "")} + colour` : "colour"], ["color", "colour"]];
  shown.push(...lines.slice(1).map((line) => [line, `${line.replace("line_", "")} + colour`]), ["all", "all line styles"]);
  options(byId("show"), shown, place.show);
  byId("waiting").replaceChildren(...waiting());
}

function waiting() {
  if (!dataset.judged) return ["No look-alikes yet: run ", make("code", {}, `curate dedupe ${dataset.name}`), ", then reload the page."];
  if (!dataset.waiting) return [];
  const verb = dataset.waiting === 1 ? "waits" : "wait";
  return [`${counted(dataset.waiting, "decision")} ${verb}: run `, make("code", {}, `curate dedupe ${dataset.name}`), " with the same options as before."];
}

function orders(view) {
  if (view === "families") return dataset.family_orders.map((order) => [order === "added" ? "" : order, FAMILY_ORDERS[order] ?? order]);
  const columns = dataset.orders.flatMap((order) => {
    const name = order.replace("_", " ");
    return [[`${order}.down`, `${name}, highest first`], [`${order}.up`, `${name}, lowest first`]];
  });
  return [["", "in the order added"], ...columns];
}

function options(select, pairs, value) {
  const known = pairs.some(([one]) => one === value) ? value : "";
  select.replaceChildren(...pairs.map(([one, text]) => make("option", { value: one, selected: one === known }, text)));
}

// ---- keys and clicks

function search(event) {
  event?.preventDefault();
  say("");
  go({ filter: byId("filter").value.trim(), where: byId("where").value.trim(), start: "0" });
}

let completionTimer = 0;

function complete() {
  clearTimeout(completionTimer);
  completionTimer = setTimeout(async () => {
    const [, minus, word] = /((?:(?<!\S)-)?)([^\s|]*)$/.exec(byId("filter").value);
    const before = byId("filter").value.slice(0, byId("filter").value.length - minus.length - word.length);
    const tags = word.length > 1 ? await get("tags", { start: word }).catch(() => []) : [];
    byId("completions").replaceChildren(...tags.map(([tag, count]) => make("option", { value: `${before}${minus}${tag}` }, counted(count, "picture"))));
  }, 150);
}

async function currentPicture() {
  const id = document.activeElement?.dataset?.id ?? here().picture;
  if (!id) return null;
  return selected?.tile.id === id ? selected : get(`pictures/${encodeURIComponent(id)}`);
}

async function decideAboutPair(kind) {
  const picture = await currentPicture();
  if (!picture) return;
  const other = counterpart(picture, controller.marked);
  if (!other) say(`${picture.tile.path} has no look-alike: mark another picture with m, then come back to this one.`);
  else await controller.decide(kind, [picture.tile.id, other.id]);
}

async function decideAboutPicture(kind) {
  const picture = await currentPicture();
  if (picture) await controller.decide(kind, [picture.tile.id]);
}

function clickPager(name) {
  document.querySelector(`#list .${name}`)?.click();
}

const KEY_ACTIONS = {
  k: () => decideAboutPicture("keep"),
  x: () => decideAboutPicture("drop"),
  d: () => decideAboutPair("different"),
  c: () => decideAboutPair("duplicate"),
  r: () => decideAboutPair("alternate"),
  m: async () => {
    const picture = await currentPicture();
    if (picture) controller.mark(picture.tile);
  },
  t: async () => {
    const picture = await currentPicture();
    if (!picture) return;
    if (selected?.tile.id !== picture.tile.id) {
      history.replaceState(null, "", `?${new URLSearchParams({ ...here(), picture: picture.tile.id })}`);
      await show();
    }
    edit(controller, picture);
  },
  u: undoLast,
  n: () => clickPager("next"),
  p: () => clickPager("previous"),
  "/": () => byId("filter").focus(),
  "?": () => byId("keys").showModal(),
  Escape: () => here().picture && controller.close(),
};

function handleKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  if (event.target.closest("input, textarea, select")) return;
  if (moveFocus(event.key)) return event.preventDefault();
  const action = Object.hasOwn(KEY_ACTIONS, event.key) ? KEY_ACTIONS[event.key] : null;
  if (!action) return;
  event.preventDefault();
  Promise.resolve(action()).catch((error) => say(error.message, true));
}

byId("search").addEventListener("submit", search);
byId("filter").addEventListener("input", complete);
byId("order").addEventListener("change", () => go({ order: byId("order").value, start: "0" }));
byId("show").addEventListener("change", () => go({ show: byId("show").value }));
byId("show-keys").addEventListener("click", () => byId("keys").showModal());
byId("views").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go({ view: link.dataset.view, order: "", start: "0" });
});
document.addEventListener("keydown", handleKey);
addEventListener("place", show);
addEventListener("popstate", show);
addEventListener("focus", async () => {
  const now = await get("dataset").catch(() => null);
  if (now && dataset && JSON.stringify(now) !== JSON.stringify(dataset)) await show();
});
showHelp();
show();
