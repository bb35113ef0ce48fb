// A set of tags: typed with completion, or picked from the commonest.

import { make } from "./make.js";

const SHOWN = 14;

export const parsed = (text) => text.split(",").map((one) => one.trim().toLowerCase().replace(/\s+/g, "_")).filter(Boolean);

export class TagSet {
  constructor(label, known, changed) {
    this.label = label;
    this.changed = changed;
    this.known = known;
    this.chosen = [];
    const id = `tags-${label}`;
    this.input = make("input", {
      id, list: "known", maxlength: 500, spellcheck: "false", autocapitalize: "none", placeholder: "a tag, then Enter",
      keydown: (event) => event.key === "Enter" && this.typed() && event.preventDefault(),
      input: (event) => this.took(event) && this.typed(), // not on leaving the field: buttons would move under the pointer
    });
    this.list = make("ul", { class: "chips", "aria-label": `Chosen tags ${label}` });
    this.common = make("ul", { class: "chips", "aria-label": `Common tags for ${label}` });
    this.element = make("div", {}, make("label", { for: id }, "Tags", make("span", {}, ` ${label}`)), this.list, this.input, this.common);
    this.show();
  }

  took(event) {
    const picked = !(event instanceof InputEvent) || event.inputType === "insertReplacementText";
    return picked || this.input.value.endsWith(",");
  }

  typed() {
    const given = parsed(this.input.value);
    this.input.value = "";
    this.set([...this.chosen, ...given]);
    return given.length > 0;
  }

  set(tags) {
    this.chosen = [...new Set(tags)];
    this.show();
    this.changed();
  }

  show() {
    const chip = (name, told, click) => make("li", {}, make("button", { type: "button", click, ...told }, name));
    this.list.replaceChildren(...this.chosen.map((name) =>
      chip(`${name} ×`, { class: "chosen", "aria-label": `Remove ${name}` }, () => this.set(this.chosen.filter((one) => one !== name)))));
    const free = this.known.filter((tag) => !this.chosen.includes(tag.name));
    const first = [...free.filter((tag) => tag.color), ...free.filter((tag) => !tag.color)].slice(0, SHOWN);
    this.common.replaceChildren(...first.map((tag) => {
      const one = chip(tag.name, {}, () => this.set([...this.chosen, tag.name]));
      if (tag.count !== null) one.firstChild.append(" ", make("small", {}, tag.count.toLocaleString("en")));
      return one;
    }));
  }
}

// mulberry32: equal seeds choose equal colours on every machine
function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function randomColors(tags, known, seed) {
  const next = chance(seed);
  const by = new Map(known.filter((tag) => tag.color).map((tag) => [tag.name, tag]));
  const nouns = new Map();
  for (const tag of by.values()) nouns.set(tag.color[1], [...(nouns.get(tag.color[1]) ?? []), tag.name]);
  const worn = [...new Set(tags.filter((name) => by.has(name)).map((name) => by.get(name).color[1]))];
  const all = [...nouns.keys()];
  const wanted = worn.length || !all.length ? worn : [all[Math.floor(next() * all.length)]];
  const others = tags.filter((name) => !by.has(name));
  return [...others, ...wanted.map((noun) => nouns.get(noun)[Math.floor(next() * nouns.get(noun).length)])];
}
