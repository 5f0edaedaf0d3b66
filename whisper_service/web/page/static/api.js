// Requests to the HTTP API, and the session that they belong to.

const TEXT = "text/plain";
export const ROOT = "api/v1/";
// What the API says of a session that has ended; another 401 is about a password.
const SIGNED_OUT = "Missing valid Authorization header with session or API key";
const OFFLINE = "The server cannot be reached. Try again.";
// Seconds that a request waits for a busy server.
const PATIENCE = 5;

// Each tab has its own session. Dispatches "change" when the user or their data have changed.
export const session = Object.assign(new EventTarget(), {
	id: sessionStorage.session,
	user: null,
	renew: null, // asks the user to sign in again, and returns whether somebody did

	set(id, user) {
		Object.assign(this, { id, user });
		sessionStorage.session = id;
		this.dispatchEvent(new Event("change"));
	},
});

// The message is the API's sentence. A status of 0 is a failed connection.
class ApiError extends Error {
	constructor(status, type, text, retryAfter) {
		super(type?.startsWith(TEXT) ? text : `The server answered with an error (${status}).`);
		Object.assign(this, { status, retryAfter: Number(retryAfter) });
	}
}

export async function request(path, options = {}) {
	for (let attempt = 1; ; attempt++) {
		const { id } = session;
		const response = await send(path, id, options);
		if (response.ok) return response;
		const [type, wait] = ["Content-Type", "Retry-After"].map((name) => response.headers.get(name));
		const error = new ApiError(response.status, type, await response.text(), wait);
		const isBusy = error.status === 429 && error.retryAfter <= PATIENCE;
		if (error.message === SIGNED_OUT) await renewSession(id);
		else if (isBusy && !options.method && attempt < 5) await sleep(1000 * error.retryAfter, options.signal);
		else throw error;
	}
}

export async function get(path, query = {}, signal) {
	return (await request(withQuery(path, query), { signal })).json();
}

export async function call(method, path, content, keepalive) {
	const body = content instanceof FormData ? content : JSON.stringify(content);
	return (await request(path, { method, body, keepalive })).json();
}

export async function loadUser(signal) {
	const user = await get("user", {}, signal);
	session.set(session.id, user);
	return user;
}

export function withQuery(path, query) {
	return `${path}?${new URLSearchParams(Object.entries(query).filter(([, value]) => value))}`;
}

// Ask the user once for all requests to sign in again. Throws ApiError if nobody does.
async function renewSession(id) {
	if (session.id && session.id !== id) return;
	renewSession.running ??= session.renew().finally(() => (renewSession.running = null));
	if (!(await renewSession.running)) throw new ApiError(401, TEXT, "You are signed out.");
}

export async function sleep(milliseconds, signal) {
	await new Promise((resolve) => setTimeout(resolve, milliseconds));
	signal?.throwIfAborted();
}

async function send(path, id, options) {
	const headers = { ...options.headers };
	if (typeof options.body === "string") headers["Content-Type"] = "application/json";
	if (id) headers.Authorization = `Basic ${id}`;
	try {
		return await fetch(ROOT + path, { ...options, headers });
	} catch (error) {
		throw error.name === "AbortError" ? error : new ApiError(0, TEXT, OFFLINE);
	}
}
