// Help on keys and on the filter: the line at the foot of the page, and the dialog.

import { byId, make } from "./dom.js";

// keys, what they do, and a word for the foot of the page
const KEYS = [
  ["← → ↑ ↓", "move among the pictures", "move"],
  ["Enter", "open one", "open"],
  ["k", "keep this one: it is not a copy", "keep"],
  ["x", "leave it out", "leave out"],
  ["d", "not the same as the marked picture, or else as its nearest look-alike", "not the same"],
  ["c", "a copy of the marked picture, or else of its nearest look-alike", "copy"],
  ["r", "a recolour of that picture", "recolour"],
  ["m", "mark it, to compare others with it", "mark"],
  ["t", "edit its tags", "tags"],
  ["u", "undo the last decision", "undo"],
  ["n p", "next page, previous page", "page"],
  ["/", "go to the filter", "filter"],
  ["Esc", "close the picture"],
  ["?", "this help", "help"],
];
const FILTER_EXAMPLES = [
  ["blue_hair -solo", "with the first tag, without the second"],
  ["red_hair|blue_hair", "with at least one of the two"],
  ["*_hair", "with any tag that ends in _hair"],
  ["role:alternate", "recolours; also survivor, duplicate, unique"],
  ["dropped:none", "kept; dropped:* is left out, dropped:monochrome is left out for that reason"],
  ["width>=512", "compares a column of numbers"],
  ['path:"my art/*"', "matches a column of text; * stands for anything"],
  ["decided:*", "with any decision; also decided:keep, decided:retag"],
];

const keyNames = (keys) => make("dt", {}, keys.split(" ").map((key) => make("kbd", {}, key)));

export function showHelp() {
  const short = KEYS.filter(([, , word]) => word);
  byId("legend").append(make("dl", {}, short.map(([keys, , word]) => make("div", {}, keyNames(keys), make("dd", {}, word)))));
  byId("keys-list").append(
    make("h3", {}, "Keys (outside of text fields)"),
    make("dl", {}, KEYS.map(([keys, meaning]) => [keyNames(keys), make("dd", {}, meaning)])),
    make("h3", {}, "What you can type into the filter"),
    make("dl", {}, FILTER_EXAMPLES.map(([word, meaning]) => [make("dt", {}, make("code", {}, word)), make("dd", {}, meaning)])),
  );
}
