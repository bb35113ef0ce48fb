// Requests to the server that the page came from.

async function answered(response) {
  if (response.ok) return response.json();
  const told = await response.json().catch(() => ({ detail: `the server answered ${response.status}` }));
  const detail = Array.isArray(told.detail) ? told.detail.map((one) => one.msg).join("; ") : told.detail;
  throw new Error(detail);
}

async function asked(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer: is curate browse still running?");
  }
  return answered(response);
}

export function get(path, parameters = {}, signal = undefined) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== false);
  const query = new URLSearchParams(given).toString();
  return asked(`api/${path}${query ? `?${query}` : ""}`, { signal });
}

export function post(path, body) {
  return asked(`api/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

export const source = (id, layer) => `api/pictures/${encodeURIComponent(id)}/${encodeURIComponent(layer)}`;
