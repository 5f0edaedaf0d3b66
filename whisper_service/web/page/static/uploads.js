// The queue of uploads, which goes on while other views are shown.

import { ApiError, ROOT, renewSession, session } from "./api.js";
import { bytes, clock } from "./format.js";
import { arrange, button, errorLine, h, on, say } from "./ui.js";

const AT_ONCE = 2;

let uploads = [];
// Called when the queue has changed, and when a recording has arrived.
let [changed, stored] = [() => {}, () => {}];

on(window, "beforeunload", (event) => uploads.some(({ state }) => state !== "failed") && event.preventDefault());

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
	uploads.push(...[...files].map(createUpload));
	next();
}

function createUpload(file) {
	const { name, size } = file;
	const bar = h("progress", { max: size || 1, value: 0, ariaLabel: `Upload of ${name}` });
	const text = h("small", `${bytes(size)}, waiting`);
	const error = errorLine();
	const stop = button("Cancel", () => {
		upload.request?.abort();
		finish(upload);
	});
	const upload = {
		file,
		state: "waiting",
		element: h("li.row", h("div.grow", h("span", { dir: "auto" }, name), bar, text, error), stop),
		progress({ loaded }) {
			const speed = (1000 * loaded) / (performance.now() - upload.started) || 1;
			const rest = `${bytes(speed)}/s, ${clock((size - loaded) / speed)} left`;
			bar.value = loaded;
			text.textContent = loaded < size ? `${bytes(loaded)} of ${bytes(size)}, ${rest}` : "Sent, being checked";
		},
		fail(message) {
			upload.state = "failed";
			error.textContent = message;
			bar.hidden = text.hidden = true;
			stop.textContent = "Dismiss";
		},
	};
	return upload;
}

function next() {
	const those = (wanted) => uploads.filter(({ state }) => state === wanted);
	those("waiting").slice(0, Math.max(AT_ONCE - those("sending").length, 0)).forEach(run);
	changed();
}

function finish(upload) {
	uploads = uploads.filter((each) => each !== upload);
	next();
}

async function run(upload) {
	const { id } = session;
	Object.assign(upload, { state: "sending", started: performance.now() });
	try {
		const { message, status } = await send(upload, id);
		if (status.error) throw new Error(`${message}.`);
		finish(upload);
		say(`${upload.file.name}: ${message}.`);
		stored();
	} catch ({ status, message }) {
		const isRenewed = status === 401 && (await renewSession(id).then(() => true, () => false));
		if (isRenewed) upload.state = "waiting";
		else upload.fail(message);
		next();
	}
}

// fetch does not tell how much was sent.
function send(upload, id) {
	return new Promise((resolve, reject) => {
		const request = new XMLHttpRequest();
		const content = new FormData();
		content.append("file", upload.file);
		upload.request = request;
		request.open("POST", `${ROOT}file`);
		request.setRequestHeader("Authorization", `Basic ${id}`);
		on(request.upload, "progress", upload.progress);
		on(request, "error", () => reject(new Error("The connection was lost, or the file cannot be read.")));
		on(request, "load", () => {
			const { status, responseText } = request;
			if (status === 200) resolve(JSON.parse(responseText).files[0]);
			else reject(new ApiError(status, request.getResponseHeader("Content-Type"), responseText));
		});
		request.send(content);
	});
}
