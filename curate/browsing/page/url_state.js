// The page's URL holds everything that it shows, so that back, forward, reload and bookmarks work.

const DEFAULTS = { view: "pictures", filter: "", where: "", order: "", show: "", start: "0", picture: "" };

export function here() {
  const parameters = Object.fromEntries(new URLSearchParams(location.search));
  return { ...DEFAULTS, ...parameters };
}

export function address(changes) {
  const next = Object.entries({ ...here(), ...changes }).filter(([key, value]) => key in DEFAULTS && value !== DEFAULTS[key]);
  const query = new URLSearchParams(next).toString();
  return query ? `?${query}` : "./";
}

export function go(changes, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address(changes));
  dispatchEvent(new Event("place"));
}
