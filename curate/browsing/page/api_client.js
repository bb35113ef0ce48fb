// Requests to the server that served the page. Errors have a message that can be shown as it is.

async function parseAnswer(response) {
  if (response.ok) return response.json();
  const body = await response.json().catch(() => ({ detail: `the server answered ${response.status}` }));
  const detail = Array.isArray(body.detail) ? body.detail.map((fault) => fault.msg).join("; ") : body.detail;
  throw new Error(detail);
}

async function request(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer: is curate browse still running?");
  }
  return parseAnswer(response);
}

export function get(path, parameters = {}, signal = undefined) {
  const set = Object.entries(parameters).filter(([, value]) => value !== "" && value !== false);
  const query = new URLSearchParams(set).toString();
  return request(`api/${path}${query ? `?${query}` : ""}`, { signal });
}

export function post(path, body) {
  return request(`api/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

export const imageUrl = (id, layer) => `api/pictures/${encodeURIComponent(id)}/${encodeURIComponent(layer)}`;
