// The lists in the middle of the page (pictures, families of look-alikes, decisions), and the counts beside them.

import { button, counted, make, number, withLineBreaks } from "./dom.js";
import { go, here } from "./url_state.js";
import { decisionText } from "./picture.js";
import { fate, tile } from "./tiles.js";

export const ITEMS_PER_PAGE = { pictures: 60, families: 12, decisions: 100 };

function pager(total, start, count, noun) {
  const goTo = (first) => () => go({ start: String(first) });
  const last = Math.min(total, start + count);
  const range = `${number(Math.min(start + 1, total))} to ${number(last)} of ${counted(total, noun)}`;
  return make(
    "nav",
    { class: "pager", "aria-label": "Pages" },
    button("Previous", goTo(Math.max(0, start - count)), { disabled: start === 0, "aria-keyshortcuts": "p", class: "previous" }),
    make("span", { class: "range" }, range),
    button("Next", goTo(start + count), { disabled: last >= total, "aria-keyshortcuts": "n", class: "next" }),
  );
}

function tiled(controller, rows, layers) {
  const one = (row) =>
    make(
      "li",
      {},
      tile(row, layers, {
        selected: row.id !== null && row.id === here().picture,
        marked: row.id !== null && controller.marked?.id === row.id,
        select: (picture) => controller.select(picture),
      }),
    );
  return make("ul", { class: `tiles wide-${layers.length}` }, rows.map(one));
}

// what to show when nothing matches
function emptyList(page) {
  const { filter, where, view } = here();
  if (!filter && !where) return [make("p", { class: "empty" }, view === "families" ? "No pictures look alike." : "There are no pictures.")];
  const all = button("Show all", () => go({ filter: "", where: "", start: "0" }));
  return [make("div", { class: "empty" }, make("p", {}, page.problem ? "This filter is not valid." : "No picture matches."), all)];
}

export function pictures(controller, page, start, layers) {
  if (!page.total) return emptyList(page);
  return [pager(page.total, start, ITEMS_PER_PAGE.pictures, "picture"), tiled(controller, page.rows, layers), page.total > ITEMS_PER_PAGE.pictures ? pager(page.total, start, ITEMS_PER_PAGE.pictures, "picture") : null];
}

export function families(controller, page, start, layers) {
  const one = (family) =>
    make(
      "section",
      { class: "family", "aria-label": `${counted(family.size, "picture")} like ${family.members[0].path}` },
      make("h2", {}, `${counted(family.size, "picture")} like ${family.members[0].path}`),
      tiled(controller, family.members, layers),
      family.size > family.members.length
        ? button(`All ${number(family.size)}`, () => go({ view: "pictures", filter: `family:${family.id}`, start: "0" }))
        : null,
    );
  if (!page.total) return emptyList(page);
  return [pager(page.total, start, ITEMS_PER_PAGE.families, "set"), page.families.map(one), page.total > ITEMS_PER_PAGE.families ? pager(page.total, start, ITEMS_PER_PAGE.families, "set") : null];
}

export function decisions(controller, page, start) {
  if (!page.total) return [make("p", { class: "empty" }, "There are no decisions yet: open a picture to decide about it.")];
  const row = (one) =>
    make(
      "tr",
      { class: one.holds ? "" : "undone" },
      make("td", {}, decisionText(one)),
      make("td", {}, one.paths.map((path, place) => button(path || "a picture that no longer exists", () => controller.select({ id: place ? one.b : one.a }), { class: "link" }))),
      make("td", {}, one.holds ? (one.waits ? "waits for dedupe" : "in force") : "undone"),
      make("td", {}, one.holds ? button(one.kind === "undo" ? "Redo" : "Undo", () => controller.undo(one), { "aria-label": `Undo ${decisionText(one)}` }) : null),
    );
  const head = ["Decision", "Pictures", "State", "Undo"].map((text) => make("th", { scope: "col" }, text));
  return [
    pager(page.total, start, ITEMS_PER_PAGE.decisions, "decision"),
    make("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Decisions" }, make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, page.rows.map(row)))),
  ];
}

export function beside(controller, page) {
  const counts = (title, prefix, values, name) =>
    Object.keys(values).length && make(
      "section",
      {},
      make("h2", {}, title),
      make(
        "ul",
        {},
        Object.entries(values).map(([value, count]) =>
          make("li", {}, button(name(value), () => controller.add(`${prefix}:${value}`), { class: "tag" }), make("span", { class: "count" }, number(count))),
        ),
      ),
    );
  const tags = page.tags.map(([tag, count]) =>
    make(
      "li",
      {},
      button(withLineBreaks(tag), () => controller.add(tag), { class: "tag", title: "Only with this tag" }),
      button("−", () => controller.add(`-${tag}`), { class: "without", "aria-label": `Without ${tag}` }),
      make("span", { class: "count" }, number(count)),
    ),
  );
  return [
    counts("Kept and dropped", "dropped", page.dropped, (value) => (value === "none" ? "kept" : fate({ dropped: value }))),
    counts("Roles", "role", page.roles, (value) => (value === "alternate" ? "recolour" : value)),
    tags.length && make("section", {}, make("h2", {}, "Tags"), make("ul", {}, tags)),
  ].filter(Boolean);
}

export function unknownWords(controller, words) {
  return Object.entries(words).map(([word, similar]) =>
    make(
      "span",
      {},
      `No picture has ${word}. `,
      similar.length ? "Did you mean " : "",
      similar.map((tag) => button(tag, () => controller.replace(word, word.startsWith("-") ? `-${tag}` : tag), { class: "link" })),
    ),
  );
}
