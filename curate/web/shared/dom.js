// Makes all elements, from text and attributes, so that text from data is never parsed as HTML.

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const button = (content, click, attributes = {}) => make("button", { type: "button", click, ...attributes }, content);

// a tag in pieces, so that lines may break after its underscores
export const withLineBreaks = (tag) => tag.split(/(?<=_)/).flatMap((part, place) => (place ? [make("wbr"), part] : [part]));

export const number = (value) => Number(value).toLocaleString("en");

export const counted = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

export const byId = (id) => document.getElementById(id);
