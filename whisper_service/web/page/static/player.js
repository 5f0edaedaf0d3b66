// The recording, and the controls and keys that play it.

import { ROOT } from "./api.js";
import { clock } from "./format.js";
import { ask, button, errorLine, h, on } from "./ui.js";
import { indexAt } from "./words.js";

const RATES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
// What was heard last is repeated after a pause.
const STEP_BACK_SECONDS = 1;

const HELP = {
	"Space, K": "Play or pause",
	"J, L": "Back or forward 10 seconds",
	"←, →": "Back or forward 5 seconds",
	"↑, ↓": "Previous or next segment",
	", and .": "Slower or faster",
	"?": "Show these keys",
	"While editing:": "",
	"Ctrl+Space": "Play or pause",
	"Enter, Shift+Enter": "Next or previous segment",
	"Ctrl+Enter": "Split at the cursor",
	"Backspace at the start": "Join with the previous",
	"Ctrl+Z, Ctrl+Shift+Z": "Undo or redo",
};

export function createPlayer(fileUuid, isVideo, duration, signal) {
	const props = { src: `${ROOT}file/${fileUuid}`, controls: isVideo };
	const media = h(isVideo ? "video" : "audio", props);
	const time = () => media.currentTime;
	const seek = (seconds) => {
		media.currentTime = Math.min(Math.max(seconds, 0), duration);
		showTime();
	};
	// A browser that wants a click first, or cannot play the file, refuses.
	const play = () => media.play().catch(() => {});
	const toggle = () => (media.paused ? play() : media.pause());
	const skip = (seconds) => seek(time() + seconds);
	const changeRate = (by) => {
		const rate = RATES[RATES.indexOf(media.playbackRate) + by];
		if (rate) media.playbackRate = rate;
	};

	const error = errorLine();
	const playButton = button("", toggle, "primary");
	const onInput = ({ target }) => seek(target.valueAsNumber);
	const range = { type: "range", max: duration, step: 0.1, ariaLabel: "Position", onInput };
	const position = h("input", range);
	const text = h("span.clock");
	const onChange = ({ target }) => (media.playbackRate = target.value);
	const rate = h("select", { ariaLabel: "Speed", onChange }, RATES.map((each) => new Option(`${each}×`, each)));

	const showTime = () => {
		position.value = time();
		position.ariaValueText = clock(time());
		text.textContent = `${clock(time())} / ${clock(duration)}`;
	};
	const showState = () => {
		rate.value = media.playbackRate;
		playButton.textContent = media.paused ? "Play" : "Pause";
	};

	let isPaused = false; // and still where it was
	on(media, "pause seeking", ({ type }) => (isPaused = type === "pause"));
	on(media, "play", () => isPaused && skip(-STEP_BACK_SECONDS));
	on(media, "timeupdate", showTime);
	on(media, "play pause ratechange", showState);
	on(media, "error", () => (error.textContent = "The browser cannot play this recording."), signal);
	on(signal, "abort", () => {
		media.pause();
		media.removeAttribute("src"); // ends the download
		media.load();
	});
	showTime();
	showState();

	const jump = (by, label) => button(`${by > 0 ? "+" : "−"}10`, () => skip(by), "", { ariaLabel: label });
	const buttons = [jump(-10, "Back 10 seconds"), playButton, jump(10, "Forward 10 seconds")];
	const controls = h("div.player", buttons, position, text, rate);
	const element = h("div", error, controls, !isVideo && media);
	return { media, controls, element, time, seek, play, toggle, skip, changeRate };
}

export function listenForKeys({ time, seek, toggle, skip, changeRate }, list, signal) {
	const step = (by) => {
		const segment = list.segments[Math.max(indexAt(list.segments, time()) + by, 0)];
		if (segment) seek(segment.start);
	};
	const actions = {
		" ": toggle,
		k: toggle,
		j: () => skip(-10),
		l: () => skip(10),
		arrowleft: () => skip(-5),
		arrowright: () => skip(5),
		arrowup: () => step(-1),
		arrowdown: () => step(1),
		",": () => changeRate(-1),
		".": () => changeRate(1),
		"?": showKeys,
	};
	on(window, "keydown", (event) => {
		const key = event.key.toLowerCase();
		const takers = `input,select,textarea,video,dialog${key === " " ? ",button,a" : ""}`;
		const isTaken = event.ctrlKey || event.metaKey || event.altKey || event.target.closest(takers);
		if (isTaken || !actions[key]) return;
		event.preventDefault();
		actions[key]();
	}, signal);
}

export function showKeys() {
	const rows = Object.entries(HELP).map(([key, text]) => [h("dt", key), h("dd", text)]);
	ask("Keys", "", null, h("dl", rows));
}
