// The page: reads its address, asks the server, shows the answer, and hears keys and clicks.

import { button, byId, counted, make } from "./make.js";
import { legends } from "./help.js";
import { against, edit, panel } from "./picture.js";
import { go, here } from "./place.js";
import { COUNTS, beside, decisions, families, pictures, unknown } from "./lists.js";
import { get, post } from "./server.js";
import { moved, settle, verdicts } from "./tiles.js";

const FAMILY_ORDERS = { added: "as added", size: "largest first", duplicates: "most copies first", distance: "most distant copies first" };

let dataset = null;
let chosen = null;
let asking = new AbortController();

const desk = {
  marked: null,
  choose(row) {
    if (!row.id) return say(`${row.path}: ${row.error ?? "it has no id"}`);
    go({ picture: row.id });
  },
  close() {
    const id = here().picture;
    cover(false);
    go({ picture: "" });
    settle(id, true);
  },
  mark(row) {
    desk.marked = desk.marked?.id === row.id ? null : row;
    say(desk.marked ? `Marked ${row.path}: choose another to compare it with.` : "No picture is marked.");
    show();
  },
  add(word) {
    const value = /\s/.test(word) ? word.replace(/^([a-z_]+:)(.*)$/, '$1"$2"') : word;
    const words = here().filter.split(/\s+/).filter((one) => one && one !== value && one !== `-${value}` && `-${one}` !== value);
    go({ view: here().view === "decisions" ? "pictures" : here().view, filter: [...words, value].join(" "), start: "0" });
  },
  replace(word, other) {
    const put = (one) => (one === word ? other : one);
    const each = (one) => (one.startsWith("-") ? `-${one.slice(1).split("|").map(put).join("|")}` : one.split("|").map(put).join("|"));
    go({ filter: here().filter.split(/\s+/).map((one) => (one === word ? other : each(one))).join(" "), start: "0" });
  },
  again: () => show(),
  decide: (kind, ids, tags = null) => noted(() => post("decisions", { kind, pictures: ids, tags })),
  undo: (row) => noted(() => post("decisions", { kind: "undo", pictures: [String(row.sequence)] })),
  async strange(picture) {
    const pairs = picture.looks.filter((one) => !picture.decisions.some((told) => told.holds && told.kind === "different" && [told.a, told.b].includes(one.tile.id)));
    await noted(async () => {
      let last = null;
      for (const [place, one] of pairs.entries()) {
        say(`${place + 1} of ${pairs.length} …`);
        last = await post("decisions", { kind: "different", pictures: [picture.tile.id, one.tile.id] });
      }
      return last;
    });
  },
};

function say(words, bad = false) {
  byId("message").replaceChildren(...[words].flat());
  byId("message").className = bad ? "bad" : "";
}

async function noted(send) {
  try {
    const row = await send();
    if (row) say(`Noted: ${row.kind === "undo" ? `undo ${row.a}` : verdicts[row.kind]} ${row.paths.join(" and ")}`);
    await show();
  } catch (error) {
    say(error.message, true);
  }
}

async function undoLast() {
  const last = (await get("decisions", { count: 200 })).rows.find((one) => one.holds && one.kind !== "undo");
  if (last) await desk.undo(last);
  else say("There is no decision to undo.");
}

// ---- what is shown

function chosenLayers(place) {
  const lines = dataset.layers.filter((layer) => layer !== "color");
  if (place.show === "color" || !lines.length) return ["color"];
  if (place.show === "all") return dataset.layers;
  return lines.includes(place.show) ? [place.show, "color"] : [lines[0], "color"];
}

async function list(place, signal) {
  const start = Math.max(0, Number.parseInt(place.start, 10) || 0);
  const asked = { filter: place.filter, where: place.where, start, count: COUNTS[place.view] };
  const layers = chosenLayers(place);
  if (place.view === "decisions") return [decisions(desk, await get("decisions", { start, count: COUNTS.decisions }, signal), start), [], []];
  if (place.view === "families") {
    const page = await get("families", { ...asked, order: place.order || "added" }, signal);
    return [families(desk, page, start, layers), [], page.problem ? [page.problem] : unknown(desk, page.unknown)];
  }
  const [order, way] = place.order.split(".");
  const page = await get("pictures", { ...asked, order, descending: way === "down" }, signal);
  return [pictures(desk, page, start, layers), beside(desk, page), page.problem ? [page.problem] : unknown(desk, page.unknown)];
}

async function show() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const place = here();
  byId("list").setAttribute("aria-busy", "true");
  try {
    dataset = await get("dataset", {}, signal);
    controls(place);
    const [[middle, aside, words], picture] = await Promise.all([
      list(place, signal),
      place.picture ? get(`pictures/${encodeURIComponent(place.picture)}`, {}, signal) : null,
    ]);
    const held = byId("list").contains(document.activeElement) ? document.activeElement.dataset.id : null;
    byId("list").replaceChildren(...middle.flat().filter(Boolean));
    byId("beside").replaceChildren(...aside);
    byId("beside").hidden = !aside.length;
    if (words.length) say(words, true);
    else if (byId("message").className) say("");
    open(picture, place);
    settle(held ?? place.picture, held && document.activeElement === document.body);
  } catch (error) {
    if (error.name === "AbortError") return;
    say(error.message, true);
    byId("list").replaceChildren();
  } finally {
    if (!signal.aborted) byId("list").removeAttribute("aria-busy");
  }
}

const narrow = matchMedia("(max-width: 60rem)"); // as in style.css: the picture then covers the page

function cover(covered) {
  for (const element of [document.querySelector("header"), byId("search"), byId("list"), byId("beside")]) element.inert = covered && narrow.matches;
}

function open(picture, place) {
  const fresh = picture && picture.tile.id !== chosen?.tile.id;
  const typing = byId("picture").contains(document.activeElement) ? document.activeElement : null;
  const name = typing?.textContent;
  chosen = picture;
  byId("picture").hidden = !picture;
  document.body.classList.toggle("opened", Boolean(picture));
  cover(Boolean(picture));
  byId("picture").replaceChildren(...(picture ? panel(desk, picture, dataset.layers).filter(Boolean) : []));
  document.title = [picture?.tile.path, place.view, dataset.name, "nurie"].filter(Boolean).join(" · ");
  if (!picture) return;
  const again = [...byId("picture").querySelectorAll("button")].find((one) => name && one.textContent === name);
  if (typing && !fresh) (again ?? byId("picture-title")).focus();
  else if (fresh && (typing || narrow.matches)) byId("picture-title").focus();
  if (fresh) byId("picture").scrollTop = 0;
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
  shown.push(...lines.slice(1).map((line) => [line, `${line.replace("line_", "")} + colour`]), ["all", "every line style"]);
  options(byId("show"), shown, place.show);
  byId("waiting").replaceChildren(...waiting());
}

function waiting() {
  if (!dataset.judged) return ["No look-alikes yet: run ", make("code", {}, `curate dedupe ${dataset.name}`), ", then load the page again."];
  if (!dataset.waiting) return [];
  const verb = dataset.waiting === 1 ? "waits" : "wait";
  return [`${counted(dataset.waiting, "decision")} ${verb}: run `, make("code", {}, `curate dedupe ${dataset.name}`), " with the options as before."];
}

function orders(view) {
  if (view === "families") return dataset.family_orders.map((order) => [order === "added" ? "" : order, FAMILY_ORDERS[order] ?? order]);
  const both = dataset.orders.flatMap((order) => {
    const name = order.replace("_", " ");
    return [[`${order}.down`, `${name}, most first`], [`${order}.up`, `${name}, least first`]];
  });
  return [["", "as added"], ...both];
}

function options(select, pairs, value) {
  const known = pairs.some(([one]) => one === value) ? value : "";
  select.replaceChildren(...pairs.map(([one, text]) => make("option", { value: one, selected: one === known }, text)));
}

// ---- what people do

function search(event) {
  event?.preventDefault();
  say("");
  go({ filter: byId("filter").value.trim(), where: byId("where").value.trim(), start: "0" });
}

let typed = 0;

function completing() {
  clearTimeout(typed);
  typed = setTimeout(async () => {
    const [, minus, word] = /((?:(?<!\S)-)?)([^\s|]*)$/.exec(byId("filter").value);
    const kept = byId("filter").value.slice(0, byId("filter").value.length - minus.length - word.length);
    const tags = word.length > 1 ? await get("tags", { start: word }).catch(() => []) : [];
    byId("completions").replaceChildren(...tags.map(([tag, count]) => make("option", { value: `${kept}${minus}${tag}` }, counted(count, "picture"))));
  }, 150);
}

async function current() {
  const id = document.activeElement?.dataset?.id ?? here().picture;
  if (!id) return null;
  return chosen?.tile.id === id ? chosen : get(`pictures/${encodeURIComponent(id)}`);
}

async function ofPair(kind) {
  const picture = await current();
  if (!picture) return;
  const other = against(picture, desk.marked);
  if (!other) say(`${picture.tile.path} has no look-alike: mark another picture with m, then come back.`);
  else await desk.decide(kind, [picture.tile.id, other.id]);
}

async function ofOne(kind) {
  const picture = await current();
  if (picture) await desk.decide(kind, [picture.tile.id]);
}

function press(name) {
  document.querySelector(`#list .${name}`)?.click();
}

const DOING = {
  k: () => ofOne("keep"),
  x: () => ofOne("drop"),
  d: () => ofPair("different"),
  c: () => ofPair("duplicate"),
  r: () => ofPair("alternate"),
  m: async () => {
    const picture = await current();
    if (picture) desk.mark(picture.tile);
  },
  t: async () => {
    const picture = await current();
    if (!picture) return;
    if (chosen?.tile.id !== picture.tile.id) {
      history.replaceState(null, "", `?${new URLSearchParams({ ...here(), picture: picture.tile.id })}`);
      await show();
    }
    edit(desk, picture);
  },
  u: undoLast,
  n: () => press("next"),
  p: () => press("before"),
  "/": () => byId("filter").focus(),
  "?": () => byId("keys").showModal(),
  Escape: () => here().picture && desk.close(),
};

function heard(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  if (event.target.closest("input, textarea, select")) return;
  if (moved(event.key)) return event.preventDefault();
  const act = Object.hasOwn(DOING, event.key) ? DOING[event.key] : null;
  if (!act) return;
  event.preventDefault();
  Promise.resolve(act()).catch((error) => say(error.message, true));
}

byId("search").addEventListener("submit", search);
byId("filter").addEventListener("input", completing);
byId("order").addEventListener("change", () => go({ order: byId("order").value, start: "0" }));
byId("show").addEventListener("change", () => go({ show: byId("show").value }));
byId("show-keys").addEventListener("click", () => byId("keys").showModal());
byId("views").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go({ view: link.dataset.view, order: "", start: "0" });
});
document.addEventListener("keydown", heard);
addEventListener("place", show);
addEventListener("popstate", show);
addEventListener("focus", async () => {
  const now = await get("dataset").catch(() => null);
  if (now && dataset && JSON.stringify(now) !== JSON.stringify(dataset)) await show();
});
legends();
show();
