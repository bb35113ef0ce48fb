// The chosen picture: its pair, its fate, its tags, its look-alikes, and what may be decided of it.

import { broken, button, counted, make, number } from "./make.js";
import { here } from "./place.js";
import { source } from "./server.js";
import { fate, verdicts } from "./tiles.js";

const KEYS = { keep: "k", drop: "x", different: "d", duplicate: "c", alternate: "r" };
const NOUNS = {
  keep: "Keep this one",
  drop: "Leave out",
  different: "Not the same",
  duplicate: "Is a copy",
  alternate: "Is a recolour",
};

function figure(id, layer) {
  const name = layer === "color" ? "colour" : layer.replace(/^line_/, "");
  const alt = layer === "color" ? "the colours" : `line art by ${name}`;
  return make(
    "figure",
    {},
    make("img", { src: source(id, layer), alt, width: 128, height: 128 }),
    make("figcaption", {}, name),
  );
}

// pressed while such a decision holds; pressing it again takes it back
function verdict(desk, kind, told, pictures) {
  const held = told.findLast((one) => one.holds && one.kind === kind && same(one, pictures));
  return button(
    NOUNS[kind],
    () => (held ? desk.undo(held) : desk.decide(kind, pictures)),
    { "aria-pressed": held ? "true" : "false", "aria-keyshortcuts": KEYS[kind] },
  );
}

function same(decision, pictures) {
  const of = [decision.a, decision.b].filter(Boolean);
  return of.length === pictures.length && of.every((one) => pictures.includes(one));
}

export function against(picture, marked) {
  const id = picture.tile.id;
  if (marked && marked.id !== id) return marked;
  const { duplicate_of: of } = picture.tile;
  const look = picture.looks.find((one) => one.tile.id === of) ?? picture.looks[0];
  if (of && of !== id && look?.tile.id !== of) return { id: of, path: of, stored: false };
  return look?.tile ?? null;
}

const KINDS = { duplicate: "copy", alternate: "recolour" };

// what dedupe took a look-alike for, and how far it is
function measured(look) {
  const lines = (100 * look.line_difference).toFixed(1);
  return `${KINDS[look.kind] ?? look.kind}, ${counted(look.distance, "bit")}, colours ${look.color_distance.toFixed(1)} apart, lines ${lines} %`;
}

function compared(desk, picture) {
  const other = against(picture, desk.marked);
  if (!other) return null;
  const pair = [picture.tile.id, other.id];
  const look = picture.looks.find((one) => one.tile.id === other.id);
  const pixels = (tile) => (tile.stored ? figure(tile.id, "color") : null);
  return make(
    "section",
    { "aria-labelledby": "against-title" },
    make("h3", { id: "against-title" }, desk.marked === other ? "Against the marked one" : "Against its nearest look-alike"),
    make("div", { class: "pair" }, pixels(picture.tile), pixels(other)),
    make("p", { class: "path" }, other.path),
    look ? make("p", { class: "measured" }, measured(look)) : null,
    make("div", { class: "buttons" }, ["different", "duplicate", "alternate"].map((kind) => verdict(desk, kind, picture.decisions, pair))),
  );
}

function tagged(desk, picture) {
  const shown = picture.given_tags ?? picture.own_tags;
  const merged = picture.tags.filter((tag) => !picture.own_tags.includes(tag) && !shown.includes(tag));
  const chip = (tag) => make("li", {}, button(broken(tag), () => desk.add(tag), { class: "tag", title: "Filter by this tag" }));
  const list = (tags) => make("ul", { class: "tags" }, tags.map(chip));
  return make(
    "section",
    { "aria-labelledby": "tags-title" },
    make("h3", { id: "tags-title" }, picture.given_tags ? "Tags, as people gave them" : "Tags"),
    shown.length ? list(shown) : make("p", {}, "none"),
    merged.length ? [make("h4", {}, "From its copies"), list(merged)] : null,
    button("Edit tags", () => edit(desk, picture), { id: "edit-tags", "aria-keyshortcuts": "t" }),
  );
}

export function edit(desk, picture) {
  const shown = picture.given_tags ?? picture.own_tags;
  const field = make("textarea", { id: "retag", rows: Math.min(16, shown.length + 3), spellcheck: "false" });
  field.value = shown.join("\n");
  const form = make(
    "form",
    {
      class: "retag",
      submit: (event) => {
        event.preventDefault();
        desk.decide("retag", [picture.tile.id], field.value.split("\n").filter((line) => line.trim()));
      },
      keydown: (event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        desk.again();
      },
    },
    make("label", { for: "retag" }, "Its own tags, one a line"),
    field,
    make("div", { class: "buttons" }, make("button", {}, "Save tags"), button("Cancel", () => desk.again())),
  );
  document.querySelector("[aria-labelledby=tags-title]").replaceChildren(make("h3", { id: "tags-title" }, "Tags"), form);
  field.focus();
}

function looks(desk, picture) {
  if (!picture.look_alikes) return null;
  const rest = picture.look_alikes - picture.looks.length;
  const entry = (look) =>
    make(
      "li",
      {},
      button(
        look.tile.stored ? make("img", { src: source(look.tile.id, "color"), alt: "", loading: "lazy", width: 128, height: 128 }) : "no picture",
        () => desk.choose(look.tile),
        { class: "look", "aria-label": `Open ${look.tile.path}` },
      ),
      make(
        "div",
        {},
        make("p", { class: "path" }, look.tile.path),
        make("p", {}, `${measured(look)}; ${fate(look.tile)}`),
        make(
          "div",
          { class: "buttons" },
          ["different", "duplicate", "alternate"].map((kind) => verdict(desk, kind, picture.decisions, [picture.tile.id, look.tile.id])),
        ),
      ),
    );
  return make(
    "section",
    { "aria-labelledby": "looks-title" },
    make("h3", { id: "looks-title" }, counted(picture.look_alikes, "look-alike")),
    picture.looks.length > 1
      ? button(`Not the same as ${picture.look_alikes > picture.looks.length ? "these" : "any of these"}`, () => desk.strange(picture))
      : null,
    make("ul", { class: "looks" }, picture.looks.map(entry)),
    rest > 0 ? make("p", {}, `and ${number(rest)} more, farther away`) : null,
  );
}

export function told(one) {
  const what = one.kind === "undo" ? `undo ${one.a}` : verdicts[one.kind] ?? one.kind;
  const tags = one.tags ? `: ${one.tags.join(", ")}` : "";
  return `${one.sequence} · ${what}${tags}`;
}

function decided(desk, picture) {
  if (!picture.decisions.length) return null;
  return make(
    "section",
    { "aria-labelledby": "decided-title" },
    make("h3", { id: "decided-title" }, "What people decided"),
    make(
      "ul",
      { class: "decided-list" },
      picture.decisions.map((one) =>
        make(
          "li",
          { class: one.holds ? "" : "undone" },
          `${told(one)} ${one.paths.filter((path) => path !== picture.tile.path).join(" ")}${one.holds ? "" : " (undone)"}`,
          one.holds ? button("Undo", () => desk.undo(one), { "aria-label": `Undo ${told(one)}` }) : null,
        ),
      ),
    ),
  );
}

function facts(picture) {
  const hidden = ["id", "source", "path", "error", "dropped"];
  const shown = Object.entries(picture.columns).filter(([name, value]) => value !== null && value !== "" && !hidden.includes(name));
  const value = (one) => (typeof one === "number" && !Number.isInteger(one) ? one.toFixed(3) : String(one));
  return make(
    "details",
    {},
    make("summary", {}, "Columns of the manifest"),
    make("dl", {}, [["id", picture.tile.id], ["source", picture.tile.source], ...shown].map(([name, one]) => [make("dt", {}, name), make("dd", {}, value(one))])),
  );
}

export function panel(desk, picture, layers) {
  const { tile } = picture;
  const lines = picture.story.filter((line) => !/^decision \d/.test(line));
  const shown = tile.stored ? make("div", { class: "layers" }, layers.map((layer) => figure(tile.id, layer))) : make("p", {}, "No picture is stored of it.");
  const first = here().view === "families"; // there one came to compare
  return [
    make(
      "div",
      { class: "head" },
      make("h2", { id: "picture-title", tabindex: -1 }, tile.path),
      button("Close", () => desk.close(), { "aria-keyshortcuts": "Escape" }),
    ),
    first ? compared(desk, picture) : shown,
    make("p", { class: "size" }, `${picture.columns.format ?? "?"}, ${picture.columns.width ?? "?"} × ${picture.columns.height ?? "?"} px: ${fate(tile)}`),
    picture.copies.length ? make("p", {}, `The same bytes: ${picture.copies.join(", ")}`) : null,
    make(
      "div",
      { class: "buttons" },
      verdict(desk, "keep", picture.decisions, [tile.id]),
      verdict(desk, "drop", picture.decisions, [tile.id]),
      button(desk.marked?.id === tile.id ? "Marked" : "Mark", () => desk.mark(tile), {
        "aria-pressed": String(desk.marked?.id === tile.id),
        "aria-keyshortcuts": "m",
      }),
    ),
    first ? shown : compared(desk, picture),
    tagged(desk, picture),
    decided(desk, picture),
    looks(desk, picture),
    make("section", { "aria-labelledby": "story-title" }, make("h3", { id: "story-title" }, "Its way"), make("ul", { class: "story" }, lines.map((line) => make("li", {}, line)))),
    facts(picture),
  ];
}
