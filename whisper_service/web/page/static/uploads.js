// The queue of uploads, which goes on while other views are shown.

import { get, request, sleep } from "./api.js";
import { bytes, clock } from "./format.js";
import { arrange, button, errorLine, h, on, say } from "./ui.js";

// Of one request: few enough to show progress over a slow line, and for proxies.
const SLICE_BYTES = 2 ** 23;
// What may work when it is tried again. 0 is a failed connection.
const BROKEN = [0, 408, 409, 423, 502, 503, 504];

const queues = [Promise.resolve(), Promise.resolve()];
let uploads = [];
// Called when the queue has changed, and when a recording has arrived.
let [changed, stored] = [() => {}, () => {}];

on(window, "beforeunload", (event) => uploads.some(({ hasFailed }) => !hasFailed) && event.preventDefault());
on(window, "pagehide", () => uploads.forEach(cancel));

export function uploadPanel(onStored, signal) {
	const list = h("ul.lines");
	changed = () => arrange(list, uploads.map(({ element }) => element));
	stored = onStored;
	changed();
	return [dropZone(signal), list];
}

function dropZone(signal) {
	const onChange = ({ target }) => {
		add(target.files);
		target.value = "";
	};
	const input = h("input.unseen", { type: "file", multiple: true, onChange });
	const zone = h("label.drop", input, h("span", "Drop recordings here, or ", h("u", "choose files")));
	const mark = ({ type }) => zone.classList.toggle("over", type === "dragover");
	on(window, "dragover dragleave drop", mark, signal);
	on(window, "drop", ({ dataTransfer }) => add(dataTransfer.files), signal);
	return zone;
}

function add(files) {
	for (const file of files) {
		const upload = createUpload(file);
		uploads.push(upload);
		queues.push(queues.shift().then(() => run(upload)));
	}
	changed();
}

function createUpload(file) {
	const { name, size } = file;
	const bar = h("progress", { max: size || 1, value: 0, ariaLabel: `Upload of ${name}` });
	const text = h("small", `${bytes(size)}, waiting`);
	const error = errorLine();
	const stop = button("Cancel", () => cancel(upload));
	const upload = {
		file,
		canceling: new AbortController(),
		element: h("li.row", h("div.grow", h("span", { dir: "auto" }, name), bar, text, error), stop),
		show(sent, milliseconds) {
			const left = sent && `, ${clock((milliseconds * (size / sent - 1)) / 1000)} left`;
			bar.value = sent;
			text.textContent = `${bytes(sent)} of ${bytes(size)}${left || ""}`;
		},
		wait: () => (text.textContent = "The connection was lost, or the file cannot be read. Trying again."),
		fail(message) {
			upload.hasFailed = true;
			error.textContent = message;
			bar.hidden = text.hidden = true;
			stop.textContent = "Dismiss";
		},
	};
	return upload;
}

function remove(upload) {
	uploads = uploads.filter((each) => each !== upload);
	changed();
}

function cancel(upload) {
	upload.canceling.abort();
	if (upload.path) tus("DELETE", upload.path, {}, { keepalive: true }).catch(() => {});
	remove(upload);
}

async function run(upload) {
	const { signal } = upload.canceling;
	try {
		signal.throwIfAborted();
		const { message, status } = await send(upload, signal);
		if (status.error) throw new Error(`${message}.`);
		remove(upload);
		say(`${upload.file.name}: ${message}.`);
		stored();
	} catch ({ message }) {
		if (!signal.aborted) upload.fail(message);
	}
}

// Send a file in slices, and go on where the server says, whatever breaks. Return what became of it.
async function send(upload, signal) {
	const { file } = upload;
	const started = performance.now();
	for (let wait = 1; ; ) {
		try {
			upload.path ??= await create(file, signal);
			const { offset, file: result } = await get(upload.path, {}, signal);
			if (result) return result;
			upload.show(offset, performance.now() - started);
			const headers = { "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
			const body = file.slice(offset, offset + SLICE_BYTES);
			await tus("PATCH", upload.path, headers, { signal, body });
			wait = 1;
		} catch (error) {
			if (!BROKEN.includes(error.status)) throw error;
			upload.wait();
			await sleep(1000 * wait, signal);
			wait = Math.min(2 * wait, 30);
		}
	}
}

async function create({ name, size }, signal) {
	const encoded = btoa(String.fromCharCode(...new TextEncoder().encode(name)));
	const headers = { "Upload-Length": size, "Upload-Metadata": `filename ${encoded}` };
	const { uuid } = await (await tus("POST", "upload", headers, { signal })).json();
	return `upload/${uuid}`;
}

function tus(method, path, headers, options) {
	return request(path, { method, headers: { "Tus-Resumable": "1.0.0", ...headers }, ...options });
}
