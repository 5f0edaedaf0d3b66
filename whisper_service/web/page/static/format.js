// Values as people read them.

const LOCALE = "en-US";
const LANGUAGES = new Intl.DisplayNames(LOCALE, { type: "language" });

// 75.4 is 1:15, 3675 is 1:01:15.
export function clock(seconds) {
	const parts = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(Math.floor);
	const shown = parts[0] ? parts : parts.slice(1);
	return shown.map((part, index) => String(part).padStart(index && 2, "0")).join(":");
}

// 75.4 is 1:15.400.
export function exactClock(seconds) {
	return clock(seconds) + (seconds % 1).toFixed(3).slice(1);
}

// Return the seconds of [[hours:]minutes:]seconds, NaN for anything else.
export function parseClock(text) {
	if (!/^(\d+:){0,2}\d+(\.\d{1,3})?$/.test(text.trim())) return NaN;
	return Number(text.split(":").reduce((sum, part) => 60 * sum + Number(part), 0).toFixed(3));
}

export function bytes(size) {
	const power = Math.floor(Math.log10(size || 1) / 3);
	return `${Number((size / 1000 ** power).toFixed(power > 1 ? 1 : 0))} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

export function number(value) {
	return value.toLocaleString(LOCALE, { maximumFractionDigits: 6 });
}

// The API's times are UTC.
export function when(time) {
	const style = { dateStyle: "medium", timeStyle: "short" };
	return new Date(`${time.replace(" ", "T")}Z`).toLocaleString(LOCALE, style);
}

export function languageName(code) {
	return code === "auto" ? "detected language" : code ? LANGUAGES.of(code) : "no speech";
}

export function modelName(name) {
	return name.replace(/^ggml-/, "");
}
