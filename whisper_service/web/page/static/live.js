// How far transcriptions are, as it changes.

import { ROOT, get, sleep } from "./api.js";
import { clock } from "./format.js";
import { setProgress, tellDone } from "./router.js";
import { h, on } from "./ui.js";

// Browsers open six connections to a server, over all tabs; uploads and media need some.
const MAX_STREAMS = 2;
const POLL_MILLISECONDS = 4000;

// Percent of each that is shown and not finished.
const running = new Map();
let streams = 0;

// Call `show` with each state of a transcription until it has ended, and return the last one.
// They come by a stream, or by polling if that fails, nobody looks, or others have all streams.
async function watch(uuid, show, signal) {
	for (let hasFailed = false; ; ) {
		signal.throwIfAborted();
		const mayStream = !hasFailed && !document.hidden && streams < MAX_STREAMS;
		const state = await (mayStream ? stream(uuid, show, signal) : poll(uuid, hasFailed, signal));
		hasFailed = mayStream && !document.hidden;
		if (!mayStream) show(state);
		if (isOver(state)) return state;
	}
}

function isOver({ status }) {
	return ["completed", "failed", "deleted"].includes(status);
}

function stream(uuid, show, signal) {
	return new Promise((resolve) => {
		const source = new EventSource(`${ROOT}transcribe/${uuid}/events?format=json`);
		const ended = new AbortController();
		let last = {};
		const end = () => {
			if (ended.signal.aborted) return;
			ended.abort();
			source.close();
			streams--;
			resolve(last);
		};
		streams++;
		on(source, "error", end);
		on(source, "status", ({ data }) => {
			last = JSON.parse(data);
			show(last);
			if (isOver(last)) end();
		});
		on(document, "visibilitychange", end, ended.signal);
		on(signal, "abort", end, ended.signal);
	});
}

// A server that `waits` responds as soon as the status changes.
async function poll(uuid, waits, signal) {
	await sleep(POLL_MILLISECONDS, signal);
	try {
		return await get(`transcribe/${uuid}`, { format: "json", wait: waits && 10 }, signal);
	} catch ({ status }) {
		return status === 404 ? { status: "deleted" } : {};
	}
}

// Return an element that shows how far a transcription is, and what it `ended` with.
export function liveView(transcription, name, signal, maxLength = Infinity) {
	const { uuid } = transcription;
	const bar = h("progress", { max: 100, ariaLabel: "Progress" });
	const text = h("small");
	const soFar = h("p.so-far", { dir: "auto" });
	const show = (state) => {
		const { status, queue_position: position, progress = 0, eta_seconds: eta, error } = state;
		const rest = eta >= 0 ? `, ${clock(eta)} left` : "";
		const pending = `Number ${position} in the queue${rest}`;
		const texts = { pending, processing: `${progress} %${rest}`, failed: error };
		bar.hidden = status !== "processing";
		bar.value = progress;
		text.textContent = texts[status] ?? "";
		soFar.textContent = isOver(state) ? "" : (state.text ?? "").slice(-maxLength);
		note(uuid, isOver(state) ? null : progress);
	};
	const wait = async () => {
		const last = await watch(uuid, show, signal).finally(() => note(uuid, null));
		tellDone(`${name}: transcription ${last.status}.`);
		return last;
	};
	show(transcription);
	return { element: h("div", bar, text, soFar), ended: isOver(transcription) ? null : wait() };
}

function note(uuid, progress) {
	if (progress === null) running.delete(uuid);
	else running.set(uuid, progress);
	setProgress(running.size ? `${Math.min(...running.values())} %` : "");
}
