// Searching all transcripts.

import { get } from "./api.js";
import { clock, number } from "./format.js";
import { heading } from "./router.js";
import { h, pager } from "./ui.js";

export async function search({ root, query, paging, signal }) {
	const q = query.get("q") ?? "";
	const summary = h("p", { role: "status" }, "Searching…");
	root.append(heading(`Search for “${q}”`), summary);
	const { hits, pagination } = await get("search", { q, ...paging }, signal);
	const total = pagination.total_count;
	summary.textContent = total ? `Places found: ${number(total)}` : "Nothing was found.";
	hits.forEach((hit, index) => {
		const isSame = hits[index - 1]?.transcription_uuid === hit.transcription_uuid;
		if (!isSame) root.append(h("h2", { dir: "auto" }, hit.filename ?? "Deleted recording"));
		root.append(result(hit));
	});
	root.append(pager(pagination, (page) => `#/search?${new URLSearchParams({ q, page })}`));
}

function result({ transcription_uuid: uuid, start, text, matches }) {
	const letters = Array.from(text); // matches are ranges of code points
	const part = (first, last) => letters.slice(first, last).join("");
	let at = 0;
	const marked = matches.flatMap(([first, last]) => {
		const before = part(at, first);
		at = last;
		return [before, h("mark", part(first, last))];
	});
	const shown = h("span", { dir: "auto" }, marked, part(at));
	return h("a.hit", { href: `#/t/${uuid}?t=${start}` }, h("span.clock", clock(start)), shown);
}
