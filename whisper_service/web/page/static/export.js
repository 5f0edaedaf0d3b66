// Saving a transcript as a file.

import { request, withQuery } from "./api.js";
import { ask, field, h } from "./ui.js";

const FORMATS = {
	srt: "SubRip subtitles",
	vtt: "WebVTT subtitles",
	txt: "Plain text",
	tsv: "Table (TSV)",
	lrc: "Lyrics (LRC)",
	json: "JSON, text only",
	verbose_json: "JSON with times",
};

export function exportDialog(uuid, name, isCorrected) {
	const formats = Object.entries(FORMATS).map(([key, text]) => new Option(text, key));
	const versions = [new Option("As corrected", ""), new Option("As transcribed", "original")];
	const layout = h(
		"div.columns",
		field("Letters in a line", { name: "max_line_width", type: "number", min: 1, max: 1000 }),
		field("Lines at once", { name: "max_line_count", type: "number", min: 1, max: 100 }),
	);
	const download = async (values) => {
		const response = await request(withQuery(`transcribe/${uuid}`, { ...values, download: true }));
		save(await response.blob(), `${name}.${values.format.replace("verbose_", "")}`);
	};
	const format = field("Format", h("select", { name: "format" }, formats));
	const version = isCorrected && field("Text", h("select", { name: "version" }, versions));
	return ask("Export", "Download", download, format, version, layout);
}

function save(blob, download) {
	const href = URL.createObjectURL(blob);
	h("a", { href, download }).click();
	setTimeout(() => URL.revokeObjectURL(href), 60000);
}
