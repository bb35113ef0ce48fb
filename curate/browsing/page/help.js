// What keys do and what the filter takes: the line at the foot of the page, and the dialog.

import { byId, make } from "./make.js";

// keys, what they do, and in a word for the foot of the page
const KEYS = [
  ["← → ↑ ↓", "move among the pictures", "move"],
  ["Enter", "open one", "open"],
  ["k", "keep this one: it is nobody's copy", "keep"],
  ["x", "leave it out", "leave out"],
  ["d", "not the same as the marked one, or as its nearest look-alike", "not the same"],
  ["c", "is a copy of the marked one, or of its nearest look-alike", "copy"],
  ["r", "is a recolour of it", "recolour"],
  ["m", "mark it, to compare others with", "mark"],
  ["t", "edit its tags", "tags"],
  ["u", "undo the last decision", "undo"],
  ["n p", "next page, the page before", "page"],
  ["/", "to the filter", "filter"],
  ["Esc", "close the picture"],
  ["?", "this help", "help"],
];
const WORDS = [
  ["blue_hair -solo", "with the one tag, without the other"],
  ["red_hair|blue_hair", "with one of them at least"],
  ["*_hair", "with any tag that ends so"],
  ["role:alternate", "recolours; also survivor, duplicate, unique"],
  ["dropped:none", "kept; dropped:* left out, dropped:monochrome for that reason"],
  ["width>=512", "a column of numbers, compared"],
  ['path:"my art/*"', "a column of text; * is anything"],
  ["decided:*", "what people decided of; also decided:keep, decided:retag"],
];

const pressed = (keys) => make("dt", {}, keys.split(" ").map((key) => make("kbd", {}, key)));

export function legends() {
  const short = KEYS.filter(([, , word]) => word);
  byId("legend").append(make("dl", {}, short.map(([keys, , word]) => make("div", {}, pressed(keys), make("dd", {}, word)))));
  byId("keys-list").append(
    make("h3", {}, "Keys, unless you type"),
    make("dl", {}, KEYS.map(([keys, what]) => [pressed(keys), make("dd", {}, what)])),
    make("h3", {}, "What the filter takes"),
    make("dl", {}, WORDS.map(([word, what]) => [make("dt", {}, make("code", {}, word)), make("dd", {}, what)])),
  );
}
