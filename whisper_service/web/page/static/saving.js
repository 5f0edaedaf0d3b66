// Saving corrections while somebody makes them.

import { call } from "./api.js";
import { on } from "./ui.js";

const DELAY_MILLISECONDS = 1000;
const RETRY_MILLISECONDS = 5000;
// Browsers send no more than this while a page is closed.
const MAX_KEEPALIVE_BYTES = 60000;

// Save segments a second after the last `change`, one request at a time. Calls `show` with a state,
// a message and the segment that it is about. After a "conflict" only `overwrite` saves.
export function createSaving(path, segments, revision, show, signal) {
	let [changes, saved, timer, state, running] = [0, 0, 0, "saved", null];
	const isSaved = () => changes === saved;

	const set = (next, ...details) => {
		state = next;
		show(next, ...details);
	};
	const schedule = (delay) => {
		clearTimeout(timer);
		timer = setTimeout(flush, delay);
	};

	// Save now; return whether everything is saved.
	async function flush(isClosing = false) {
		clearTimeout(timer);
		while (running) await running;
		if (isSaved() || state === "conflict") return isSaved();
		running = save(isClosing).finally(() => (running = null));
		await running;
		return isSaved();
	}

	async function save(isClosing) {
		const current = changes;
		const kept = segments.filter(({ text }) => text.trim()); // others are deleted when left
		const body = { segments: kept.map(({ start, end, text }) => ({ start, end, text })), revision };
		const keepalive = isClosing && new Blob([JSON.stringify(body)]).size < MAX_KEEPALIVE_BYTES;
		set("saving");
		try {
			revision = (await call("PATCH", path, body, keepalive)).revision;
			saved = current;
			if (isSaved()) set("saved");
			else schedule(DELAY_MILLISECONDS);
		} catch (error) {
			fail(error, kept);
		}
	}

	function fail({ status, message, retryAfter }, kept) {
		const [name, index] = /segments\[(\d+)\]/.exec(message) ?? [];
		if (status === 409) set("conflict");
		else if (!status || status === 429 || status >= 500) {
			set("retrying", message);
			schedule(1000 * retryAfter || RETRY_MILLISECONDS);
		} else set("refused", message.replace(name, "The marked segment"), kept[index]);
	}

	on(window, "blur pagehide", () => flush(true), signal);
	on(window, "beforeunload", (event) => isSaved() || event.preventDefault(), signal);

	return {
		flush,
		revision: () => revision,

		change() {
			changes++;
			if (state === "conflict") return;
			set("saving");
			schedule(DELAY_MILLISECONDS);
		},

		overwrite(newer) {
			revision = newer;
			state = "saving";
			return flush();
		},

		drop() {
			saved = changes;
			clearTimeout(timer);
		},
	};
}
