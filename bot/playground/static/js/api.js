// The page's way to the server: who speaks, what is done, what is new.
const asked = new URLSearchParams(location.search);
export const everyone = asked.getAll("as");
export const me = everyone[0] || "you";
export const group = asked.get("group") || "";

export function address(as, inGroup = "") {
  const query = new URLSearchParams();
  if (as !== "you" || inGroup) query.set("as", as);
  if (inGroup) query.set("group", inGroup);
  return query.size ? `?${query}` : "./";
}

async function answered(response) {
  const body = await response.json();
  if (!response.ok) throw new Error(body.error || "This did not work.");
  return body;
}

async function post(path, options) {
  try {
    return await answered(await fetch(path, { method: "POST", ...options }));
  } catch (error) {
    if (error instanceof TypeError) throw new Error("Lanner cannot be reached. Nothing was sent.");
    throw error;
  }
}

export function act(kind, fields = {}) {
  const body = JSON.stringify({ as: me, group, kind, ...fields });
  return post("play/act", { headers: { "Content-Type": "application/json" }, body });
}

export function upload(kind, file, caption) {
  const body = new FormData();
  for (const [key, value] of Object.entries({ as: me, group, kind, caption })) body.set(key, value);
  body.set("file", file, file.name);
  return post("play/upload", { body });
}

export const fileAddress = (id) => `play/file/${encodeURIComponent(id)}`;

// Calls `show` with every change, `lost` when the server is gone, for as long as the page lives.
export async function follow(show, lost) {
  let known = {};
  for (;;) {
    const query = new URLSearchParams({ as: me, group, ...known });
    try {
      const state = await answered(await fetch(`play/state?${query}`));
      lost(false);
      show(state);
      known = { life: state.life, since: state.version, face: state.face };
    } catch {
      lost(true);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}
