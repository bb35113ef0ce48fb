// Pictures as tiles. The Tab key stops once for all of them; the arrow keys move among them.

import { make } from "./dom.js";
import { imageUrl } from "./api_client.js";

const FATES = {
  duplicate: "duplicate",
  alternate: "recolour, left out",
  unreadable: "unreadable",
  decision: "left out by a decision",
  in_other: "already in the other dataset",
};

export function fate(row) {
  if (row.dropped) return FATES[row.dropped] ?? row.dropped.replaceAll("_", " ");
  return { survivor: "kept, has look-alikes", alternate: "recolour", unique: "kept" }[row.role] ?? "kept";
}

export const DECISION_NAMES = {
  different: "not the same",
  duplicate: "a copy",
  alternate: "a recolour",
  keep: "keep",
  drop: "leave out",
  retag: "retagged",
};

function pixels(row, layers) {
  if (!row.stored) return [make("span", { class: "absent" }, row.error ? row.error.slice(0, 120) : "no picture stored")];
  return layers.map((layer) =>
    make("img", { src: imageUrl(row.id, layer), alt: "", loading: "lazy", decoding: "async", width: 128, height: 128 }),
  );
}

export function tile(row, layers, { selected, marked, select }) {
  const decided = row.decided.map((kind) => DECISION_NAMES[kind]).join(", ");
  const distance = row.distance !== null && row.duplicate_of !== row.id ? `, ${row.distance} bits` : "";
  const label = [row.path, fate(row) + distance, decided && `decided: ${decided}`, marked && "marked"].filter(Boolean);
  return make(
    "button",
    {
      type: "button",
      class: `tile ${row.dropped ? "dropped" : "kept"}`,
      tabindex: -1,
      "aria-label": label.join(", "),
      "aria-current": selected ? "true" : null,
      title: row.path,
      "data-id": row.id,
      click: () => select(row),
    },
    make("span", { class: "pixels" }, pixels(row, layers)),
    make("span", { class: "path" }, row.path),
    make("span", { class: "fate" }, fate(row) + distance),
    decided ? make("span", { class: "decided" }, `✎ ${decided}`) : null,
    marked ? make("span", { class: "marked" }, "⚑ marked") : null,
  );
}

const allTiles = () => [...document.querySelectorAll("#list .tile")];

// the nearest tile in the row of tiles below, or above, by their positions on the screen
function tileInNextRow(from, down) {
  const middle = (box) => box.left + box.width / 2;
  const box = from.getBoundingClientRect();
  const boxes = allTiles().map((tile) => [tile, tile.getBoundingClientRect()]);
  const beyond = boxes.filter(([, other]) => (down ? other.top >= box.bottom - 2 : other.bottom <= box.top + 2));
  const level = Math[down ? "min" : "max"](...beyond.map(([, other]) => other.top));
  const row = beyond.filter(([, other]) => Math.abs(other.top - level) < 4);
  const offset = ([, other]) => Math.abs(middle(other) - middle(box));
  return row.sort((one, two) => offset(one) - offset(two))[0]?.[0];
}

export function focusTile(target) {
  if (!target) return;
  for (const tile of allTiles()) tile.tabIndex = tile === target ? 0 : -1;
  target.focus();
  target.scrollIntoView({ block: "nearest" });
}

// moves the focus from the focused tile by an arrow key, Home or End; whether the key did so
export function moveFocus(key) {
  const tiles = allTiles();
  const from = document.activeElement;
  const position = tiles.indexOf(from);
  if (position < 0) return false;
  const findTarget = {
    ArrowRight: () => tiles[position + 1],
    ArrowLeft: () => tiles[position - 1],
    ArrowDown: () => tileInNextRow(from, true),
    ArrowUp: () => tileInNextRow(from, false),
    Home: () => tiles[0],
    End: () => tiles.at(-1),
  }[key];
  if (!findTarget) return false;
  focusTile(findTarget());
  return true;
}

// makes the tile with this id, or the first one, the stop of the Tab key, and optionally focuses it
export function setTabStop(id, focused) {
  const tiles = allTiles();
  const target = tiles.find((tile) => tile.dataset.id === id) ?? tiles[0];
  if (!target) return;
  if (focused) focusTile(target);
  else target.tabIndex = 0;
}
