// A set of tags: typed with completion, or picked from the most common ones.

import { make, number } from "./dom.js";

const MAX_SUGGESTIONS = 14;

// as the server parses them: between commas, lower case, spaces as underscores
export const parseTags = (text) => text.split(",").map((part) => part.trim().toLowerCase().replace(/\s+/g, "_")).filter(Boolean);

export class TagSet {
  constructor(label, knownTags, onChange) {
    this.label = label;
    this.onChange = onChange;
    this.knownTags = knownTags;
    this.chosen = [];
    const id = `tags-${label}`;
    this.input = make("input", {
      id, list: "known-tags", maxlength: 500, spellcheck: "false", autocapitalize: "none", placeholder: "type a tag, then Enter",
      keydown: (event) => event.key === "Enter" && this.takeTyped() && event.preventDefault(),
      input: (event) => this.isComplete(event) && this.takeTyped(), // not on blur: buttons would move under the pointer
    });
    this.chosenList = make("ul", { class: "chips", "aria-label": `Chosen tags ${label}` });
    this.suggestions = make("ul", { class: "chips", "aria-label": `Common tags for ${label}` });
    this.element = make("div", {}, make("label", { for: id }, "Tags", make("span", {}, ` ${label}`)), this.chosenList, this.input, this.suggestions);
    this.show();
  }

  // a tag was picked from the completions, or a comma was typed
  isComplete(event) {
    const picked = !(event instanceof InputEvent) || event.inputType === "insertReplacementText";
    return picked || this.input.value.endsWith(",");
  }

  // moves the typed tags to the chosen ones; false if nothing was typed
  takeTyped() {
    const typed = parseTags(this.input.value);
    this.input.value = "";
    this.set([...this.chosen, ...typed]);
    return typed.length > 0;
  }

  set(tags) {
    this.chosen = [...new Set(tags)];
    this.show();
    this.onChange();
  }

  show() {
    const chip = (content, attributes, click) => make("li", {}, make("button", { type: "button", click, ...attributes }, content));
    this.chosenList.replaceChildren(...this.chosen.map((name) =>
      chip(`${name} ×`, { class: "chosen", "aria-label": `Remove ${name}` }, () => this.set(this.chosen.filter((other) => other !== name)))));
    const free = this.knownTags.filter((tag) => !this.chosen.includes(tag.name));
    const suggested = [...free.filter((tag) => tag.color), ...free.filter((tag) => !tag.color)].slice(0, MAX_SUGGESTIONS);
    this.suggestions.replaceChildren(...suggested.map((tag) => {
      const count = tag.count === null ? [] : [" ", make("small", {}, number(tag.count))];
      return chip([tag.name, ...count], {}, () => this.set([...this.chosen, tag.name]));
    }));
  }
}

// the generator mulberry32: equal seeds give equal numbers in [0, 1) in every browser
function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// the tags with a random colour for each noun that has one already, or for one random noun if none has
export function randomColors(tags, knownTags, seed) {
  const random = seededRandom(seed);
  const colorTags = new Map(knownTags.filter((tag) => tag.color).map((tag) => [tag.name, tag]));
  const namesByNoun = new Map();
  for (const tag of colorTags.values()) namesByNoun.set(tag.color[1], [...(namesByNoun.get(tag.color[1]) ?? []), tag.name]);
  const usedNouns = [...new Set(tags.filter((name) => colorTags.has(name)).map((name) => colorTags.get(name).color[1]))];
  const allNouns = [...namesByNoun.keys()];
  const nouns = usedNouns.length || !allNouns.length ? usedNouns : [allNouns[Math.floor(random() * allNouns.length)]];
  const otherTags = tags.filter((name) => !colorTags.has(name));
  const pick = (names) => names[Math.floor(random() * names.length)];
  return [...otherTags, ...nouns.map((noun) => pick(namesByNoun.get(noun)))];
}
