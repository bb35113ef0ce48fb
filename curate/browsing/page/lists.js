// What lies in the middle: pictures, families of look-alikes, decisions; and beside it, what was found.

import { broken, button, counted, make, number } from "./make.js";
import { go, here } from "./place.js";
import { told } from "./picture.js";
import { fate, tile } from "./tiles.js";

export const COUNTS = { pictures: 60, families: 12, decisions: 100 };

function pager(total, start, count, noun) {
  const to = (place) => () => go({ start: String(place) });
  const last = Math.min(total, start + count);
  const range = `${number(Math.min(start + 1, total))} to ${number(last)} of ${counted(total, noun)}`;
  return make(
    "nav",
    { class: "pager", "aria-label": "Pages" },
    button("Before", to(Math.max(0, start - count)), { disabled: start === 0, "aria-keyshortcuts": "p", class: "before" }),
    make("span", { class: "range" }, range),
    button("Next", to(start + count), { disabled: last >= total, "aria-keyshortcuts": "n", class: "next" }),
  );
}

function tiled(desk, rows, layers) {
  const one = (row) =>
    make(
      "li",
      {},
      tile(row, layers, {
        chosen: row.id !== null && row.id === here().picture,
        marked: row.id !== null && desk.marked?.id === row.id,
        choose: (chosen) => desk.choose(chosen),
      }),
    );
  return make("ul", { class: `tiles wide-${layers.length}` }, rows.map(one));
}

// what to do where nothing is
function nothing(page) {
  const { filter, where, view } = here();
  if (!filter && !where) return [make("p", { class: "empty" }, view === "families" ? "No pictures look alike." : "There are no pictures.")];
  const all = button("Show all", () => go({ filter: "", where: "", start: "0" }));
  return [make("div", { class: "empty" }, make("p", {}, page.problem ? "Nothing can be found by this filter." : "No picture is like that."), all)];
}

export function pictures(desk, page, start, layers) {
  if (!page.total) return nothing(page);
  return [pager(page.total, start, COUNTS.pictures, "picture"), tiled(desk, page.rows, layers), page.total > COUNTS.pictures ? pager(page.total, start, COUNTS.pictures, "picture") : null];
}

export function families(desk, page, start, layers) {
  const one = (family) =>
    make(
      "section",
      { class: "family", "aria-label": `${counted(family.size, "picture")} like ${family.members[0].path}` },
      make("h2", {}, `${counted(family.size, "picture")} like ${family.members[0].path}`),
      tiled(desk, family.members, layers),
      family.size > family.members.length
        ? button(`All ${number(family.size)}`, () => go({ view: "pictures", filter: `family:${family.id}`, start: "0" }))
        : null,
    );
  if (!page.total) return nothing(page);
  return [pager(page.total, start, COUNTS.families, "set"), page.families.map(one), page.total > COUNTS.families ? pager(page.total, start, COUNTS.families, "set") : null];
}

export function decisions(desk, page, start) {
  if (!page.total) return [make("p", { class: "empty" }, "Nobody decided anything yet: choose a picture, then say what it is.")];
  const row = (one) =>
    make(
      "tr",
      { class: one.holds ? "" : "undone" },
      make("td", {}, told(one)),
      make("td", {}, one.paths.map((path, place) => button(path || "a picture that is gone", () => desk.choose({ id: place ? one.b : one.a }), { class: "link" }))),
      make("td", {}, one.holds ? (one.waits ? "waits for dedupe" : "holds") : "undone"),
      make("td", {}, one.holds ? button(one.kind === "undo" ? "Take back" : "Undo", () => desk.undo(one), { "aria-label": `Undo ${told(one)}` }) : null),
    );
  const head = ["Decision", "Pictures", "State", "Undo"].map((text) => make("th", { scope: "col" }, text));
  return [
    pager(page.total, start, COUNTS.decisions, "decision"),
    make("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Decisions" }, make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, page.rows.map(row)))),
  ];
}

export function beside(desk, page) {
  const counts = (title, prefix, values, name) =>
    Object.keys(values).length && make(
      "section",
      {},
      make("h2", {}, title),
      make(
        "ul",
        {},
        Object.entries(values).map(([value, count]) =>
          make("li", {}, button(name(value), () => desk.add(`${prefix}:${value}`), { class: "tag" }), make("span", { class: "count" }, number(count))),
        ),
      ),
    );
  const tags = page.tags.map(([tag, count]) =>
    make(
      "li",
      {},
      button(broken(tag), () => desk.add(tag), { class: "tag", title: "Only with this tag" }),
      button("−", () => desk.add(`-${tag}`), { class: "without", "aria-label": `Without ${tag}` }),
      make("span", { class: "count" }, number(count)),
    ),
  );
  return [
    counts("Fates", "dropped", page.dropped, (value) => (value === "none" ? "kept" : fate({ dropped: value }))),
    counts("Roles", "role", page.roles, (value) => (value === "alternate" ? "recolour" : value)),
    tags.length && make("section", {}, make("h2", {}, "Tags"), make("ul", {}, tags)),
  ].filter(Boolean);
}

export function unknown(desk, words) {
  return Object.entries(words).map(([word, meant]) =>
    make(
      "span",
      {},
      `No picture has ${word}. `,
      meant.length ? "Did you mean " : "",
      meant.map((one) => button(one, () => desk.replace(word, word.startsWith("-") ? `-${one}` : one), { class: "link" })),
    ),
  );
}
