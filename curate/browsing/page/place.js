// What the page shows is said by its address, so that back, forward, reload and bookmarks do what they should.

const FIRST = { view: "pictures", filter: "", where: "", order: "", show: "", start: "0", picture: "" };

export function here() {
  const told = Object.fromEntries(new URLSearchParams(location.search));
  return { ...FIRST, ...told };
}

export function address(changes) {
  const next = Object.entries({ ...here(), ...changes }).filter(([key, value]) => key in FIRST && value !== FIRST[key]);
  const query = new URLSearchParams(next).toString();
  return query ? `?${query}` : "./";
}

export function go(changes, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address(changes));
  dispatchEvent(new Event("place"));
}
