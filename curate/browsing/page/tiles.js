// Pictures as tiles: one stop of the Tab key, the arrows move among them.

import { make } from "./make.js";
import { source } from "./server.js";

const FATES = {
  duplicate: "duplicate",
  alternate: "recolour, left out",
  unreadable: "unreadable",
  decision: "left out by people",
  in_other: "in the other dataset",
};

export function fate(row) {
  if (row.dropped) return FATES[row.dropped] ?? row.dropped.replaceAll("_", " ");
  return { survivor: "kept, has look-alikes", alternate: "recolour", unique: "kept" }[row.role] ?? "kept";
}

export const verdicts = {
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
    make("img", { src: source(row.id, layer), alt: "", loading: "lazy", decoding: "async", width: 128, height: 128 }),
  );
}

export function tile(row, layers, { chosen, marked, choose }) {
  const decided = row.decided.map((kind) => verdicts[kind]).join(", ");
  const far = row.distance !== null && row.duplicate_of !== row.id ? `, ${row.distance} bits` : "";
  const label = [row.path, fate(row) + far, decided && `decided: ${decided}`, marked && "marked"].filter(Boolean);
  return make(
    "button",
    {
      type: "button",
      class: `tile ${row.dropped ? "dropped" : "kept"}`,
      tabindex: -1,
      "aria-label": label.join(", "),
      "aria-current": chosen ? "true" : null,
      title: row.path,
      "data-id": row.id,
      click: () => choose(row),
    },
    make("span", { class: "pixels" }, pixels(row, layers)),
    make("span", { class: "path" }, row.path),
    make("span", { class: "fate" }, fate(row) + far),
    decided ? make("span", { class: "decided" }, `✎ ${decided}`) : null,
    marked ? make("span", { class: "marked" }, "⚑ marked") : null,
  );
}

const all = () => [...document.querySelectorAll("#list .tile")];

function below(from, down) {
  // the nearest tile in the next row of tiles, by where they lie
  const middle = (box) => box.left + box.width / 2;
  const box = from.getBoundingClientRect();
  const boxes = all().map((one) => [one, one.getBoundingClientRect()]);
  const beyond = boxes.filter(([, other]) => (down ? other.top >= box.bottom - 2 : other.bottom <= box.top + 2));
  const level = Math[down ? "min" : "max"](...beyond.map(([, other]) => other.top));
  const row = beyond.filter(([, other]) => Math.abs(other.top - level) < 4);
  const far = ([, other]) => Math.abs(middle(other) - middle(box));
  return row.sort((one, two) => far(one) - far(two))[0]?.[0];
}

export function focusTile(one) {
  if (!one) return;
  for (const other of all()) other.tabIndex = other === one ? 0 : -1;
  one.focus();
  one.scrollIntoView({ block: "nearest" });
}

export function moved(key) {
  const tiles = all();
  const from = document.activeElement;
  const at = tiles.indexOf(from);
  if (at < 0) return false;
  const to = {
    ArrowRight: () => tiles[at + 1],
    ArrowLeft: () => tiles[at - 1],
    ArrowDown: () => below(from, true),
    ArrowUp: () => below(from, false),
    Home: () => tiles[0],
    End: () => tiles.at(-1),
  }[key];
  if (!to) return false;
  focusTile(to());
  return true;
}

// where the Tab key comes in: the tile that it left, or the first one
export function settle(id, focused) {
  const tiles = all();
  const one = tiles.find((tile) => tile.dataset.id === id) ?? tiles[0];
  if (!one) return;
  if (focused) focusTile(one);
  else one.tabIndex = 0;
}
