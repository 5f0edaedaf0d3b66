// The recordings: uploading them, and the list.

import { get, sleep } from "./api.js";
import { recordingRow } from "./recording.js";
import { heading } from "./router.js";
import { arrange, errorLine, h, pager } from "./ui.js";
import { uploadPanel } from "./uploads.js";

const POLL_MILLISECONDS = 3000;

export async function recordings({ root, paging, signal }) {
	const error = errorLine();
	const [list, pages] = [h("div"), h("div")];
	const empty = h("p.hint", "You have no recordings yet.");
	const rows = {};
	let latest = 0;

	// Show the list; return whether a recording is being converted.
	const refresh = async () => {
		const { files, pagination } = await get("file", paging, signal);
		const elements = files.map((file) => (rows[file.uuid] ??= recordingRow(file, signal, update))(file));
		arrange(list, files.length ? elements : [empty]);
		pages.replaceChildren(pager(pagination, (page) => `#/?page=${page}`));
		error.textContent = "";
		return files.some(({ status }) => status === "converting");
	};
	const update = async () => {
		const mine = ++latest;
		for (let goesOn = true; goesOn && mine === latest && !signal.aborted; ) {
			goesOn = await refresh().catch(({ status, message }) => {
				error.textContent = message;
				return status !== 401;
			});
			if (goesOn) await sleep(POLL_MILLISECONDS);
		}
	};

	root.append(heading("Recordings"), ...uploadPanel(update, signal), error, list, pages);
	await update();
}
