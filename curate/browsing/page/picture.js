// The panel of the selected picture: its pair, what became of it, its tags, its look-alikes, and the decisions about it.

import { button, counted, make, number, withLineBreaks } from "./dom.js";
import { here } from "./url_state.js";
import { imageUrl } from "./api_client.js";
import { DECISION_NAMES, fate } from "./tiles.js";

const KEYS = { keep: "k", drop: "x", different: "d", duplicate: "c", alternate: "r" };
const BUTTON_TEXTS = {
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
    make("img", { src: imageUrl(id, layer), alt, width: 128, height: 128 }),
    make("figcaption", {}, name),
  );
}

// a button that is pressed while such a decision is in force; pressing it again undoes the decision
function decisionButton(controller, kind, decisions, pictures) {
  const inForce = decisions.findLast((one) => one.holds && one.kind === kind && isAbout(one, pictures));
  return button(
    BUTTON_TEXTS[kind],
    () => (inForce ? controller.undo(inForce) : controller.decide(kind, pictures)),
    { "aria-pressed": inForce ? "true" : "false", "aria-keyshortcuts": KEYS[kind] },
  );
}

function isAbout(decision, pictures) {
  const ids = [decision.a, decision.b].filter(Boolean);
  return ids.length === pictures.length && ids.every((id) => pictures.includes(id));
}

// the picture to compare with: the marked one, else the survivor of a duplicate, else the nearest look-alike
export function counterpart(picture, marked) {
  const id = picture.tile.id;
  if (marked && marked.id !== id) return marked;
  const { duplicate_of: survivor } = picture.tile;
  const look = picture.looks.find((one) => one.tile.id === survivor) ?? picture.looks[0];
  if (survivor && survivor !== id && look?.tile.id !== survivor) return { id: survivor, path: survivor, stored: false };
  return look?.tile ?? null;
}

const KINDS = { duplicate: "copy", alternate: "recolour" };

// what dedupe decided about a look-alike, and how different it is
function measurements(look) {
  const lines = (100 * look.line_difference).toFixed(1);
  return `${KINDS[look.kind] ?? look.kind}, ${counted(look.distance, "bit")}, colours differ by ${look.color_distance.toFixed(1)}, lines by ${lines} %`;
}

function comparison(controller, picture) {
  const other = counterpart(picture, controller.marked);
  if (!other) return null;
  const pair = [picture.tile.id, other.id];
  const look = picture.looks.find((one) => one.tile.id === other.id);
  const pixels = (tile) => (tile.stored ? figure(tile.id, "color") : null);
  return make(
    "section",
    { "aria-labelledby": "against-title" },
    make("h3", { id: "against-title" }, controller.marked === other ? "Compared with the marked picture" : "Compared with its nearest look-alike"),
    make("div", { class: "pair" }, pixels(picture.tile), pixels(other)),
    make("p", { class: "path" }, other.path),
    look ? make("p", { class: "measured" }, measurements(look)) : null,
    make("div", { class: "buttons" }, ["different", "duplicate", "alternate"].map((kind) => decisionButton(controller, kind, picture.decisions, pair))),
  );
}

function tagSection(controller, picture) {
  const shown = picture.given_tags ?? picture.own_tags;
  const merged = picture.tags.filter((tag) => !picture.own_tags.includes(tag) && !shown.includes(tag));
  const chip = (tag) => make("li", {}, button(withLineBreaks(tag), () => controller.add(tag), { class: "tag", title: "Filter by this tag" }));
  const list = (tags) => make("ul", { class: "tags" }, tags.map(chip));
  return make(
    "section",
    { "aria-labelledby": "tags-title" },
    make("h3", { id: "tags-title" }, picture.given_tags ? "Tags given by people" : "Tags"),
    shown.length ? list(shown) : make("p", {}, "none"),
    merged.length ? [make("h4", {}, "From its copies"), list(merged)] : null,
    button("Edit tags", () => edit(controller, picture), { id: "edit-tags", "aria-keyshortcuts": "t" }),
  );
}

export function edit(controller, picture) {
  const shown = picture.given_tags ?? picture.own_tags;
  const field = make("textarea", { id: "retag", rows: Math.min(16, shown.length + 3), spellcheck: "false" });
  field.value = shown.join("\n");
  const form = make(
    "form",
    {
      class: "retag",
      submit: (event) => {
        event.preventDefault();
        controller.decide("retag", [picture.tile.id], field.value.split("\n").filter((line) => line.trim()));
      },
      keydown: (event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        controller.reload();
      },
    },
    make("label", { for: "retag" }, "Its own tags, one per line"),
    field,
    make("div", { class: "buttons" }, make("button", {}, "Save tags"), button("Cancel", () => controller.reload())),
  );
  document.querySelector("[aria-labelledby=tags-title]").replaceChildren(make("h3", { id: "tags-title" }, "Tags"), form);
  field.focus();
}

function lookAlikeSection(controller, picture) {
  if (!picture.look_alikes) return null;
  const rest = picture.look_alikes - picture.looks.length;
  const entry = (look) =>
    make(
      "li",
      {},
      button(
        look.tile.stored ? make("img", { src: imageUrl(look.tile.id, "color"), alt: "", loading: "lazy", width: 128, height: 128 }) : "no picture",
        () => controller.select(look.tile),
        { class: "look", "aria-label": `Open ${look.tile.path}` },
      ),
      make(
        "div",
        {},
        make("p", { class: "path" }, look.tile.path),
        make("p", {}, `${measurements(look)}; ${fate(look.tile)}`),
        make(
          "div",
          { class: "buttons" },
          ["different", "duplicate", "alternate"].map((kind) => decisionButton(controller, kind, picture.decisions, [picture.tile.id, look.tile.id])),
        ),
      ),
    );
  return make(
    "section",
    { "aria-labelledby": "looks-title" },
    make("h3", { id: "looks-title" }, counted(picture.look_alikes, "look-alike")),
    picture.looks.length > 1
      ? button(`Not the same as ${picture.look_alikes > picture.looks.length ? "these" : "any of these"}`, () => controller.decideDifferent(picture))
      : null,
    make("ul", { class: "looks" }, picture.looks.map(entry)),
    rest > 0 ? make("p", {}, `and ${number(rest)} more that are less similar`) : null,
  );
}

export function decisionText(decision) {
  const name = decision.kind === "undo" ? `undo ${decision.a}` : DECISION_NAMES[decision.kind] ?? decision.kind;
  const tags = decision.tags ? `: ${decision.tags.join(", ")}` : "";
  return `${decision.sequence} · ${name}${tags}`;
}

function decisionSection(controller, picture) {
  if (!picture.decisions.length) return null;
  return make(
    "section",
    { "aria-labelledby": "decided-title" },
    make("h3", { id: "decided-title" }, "Decisions"),
    make(
      "ul",
      { class: "decided-list" },
      picture.decisions.map((one) =>
        make(
          "li",
          { class: one.holds ? "" : "undone" },
          `${decisionText(one)} ${one.paths.filter((path) => path !== picture.tile.path).join(" ")}${one.holds ? "" : " (undone)"}`,
          one.holds ? button("Undo", () => controller.undo(one), { "aria-label": `Undo ${decisionText(one)}` }) : null,
        ),
      ),
    ),
  );
}

function columnSection(picture) {
  const hidden = ["id", "source", "path", "error", "dropped"];
  const shown = Object.entries(picture.columns).filter(([name, value]) => value !== null && value !== "" && !hidden.includes(name));
  const value = (one) => (typeof one === "number" && !Number.isInteger(one) ? one.toFixed(3) : String(one));
  return make(
    "details",
    {},
    make("summary", {}, "All columns of the manifest"),
    make("dl", {}, [["id", picture.tile.id], ["source", picture.tile.source], ...shown].map(([name, one]) => [make("dt", {}, name), make("dd", {}, value(one))])),
  );
}

export function panel(controller, picture, layers) {
  const { tile } = picture;
  const lines = picture.story.filter((line) => !/^decision \d/.test(line));
  const shown = tile.stored ? make("div", { class: "layers" }, layers.map((layer) => figure(tile.id, layer))) : make("p", {}, "No picture is stored.");
  const compareFirst = here().view === "families"; // people open this view to compare pictures
  return [
    make(
      "div",
      { class: "head" },
      make("h2", { id: "picture-title", tabindex: -1 }, tile.path),
      button("Close", () => controller.close(), { "aria-keyshortcuts": "Escape" }),
    ),
    compareFirst ? comparison(controller, picture) : shown,
    make("p", { class: "size" }, `${picture.columns.format ?? "?"}, ${picture.columns.width ?? "?"} × ${picture.columns.height ?? "?"} px: ${fate(tile)}`),
    picture.copies.length ? make("p", {}, `Files with the same bytes: ${picture.copies.join(", ")}`) : null,
    make(
      "div",
      { class: "buttons" },
      decisionButton(controller, "keep", picture.decisions, [tile.id]),
      decisionButton(controller, "drop", picture.decisions, [tile.id]),
      button(controller.marked?.id === tile.id ? "Marked" : "Mark", () => controller.mark(tile), {
        "aria-pressed": String(controller.marked?.id === tile.id),
        "aria-keyshortcuts": "m",
      }),
    ),
    compareFirst ? shown : comparison(controller, picture),
    tagSection(controller, picture),
    decisionSection(controller, picture),
    lookAlikeSection(controller, picture),
    make("section", { "aria-labelledby": "story-title" }, make("h3", { id: "story-title" }, "What happened to it"), make("ul", { class: "story" }, lines.map((line) => make("li", {}, line)))),
    columnSection(picture),
  ];
}
