// Ordering a transcription.

import { call, get, loadUser, session } from "./api.js";
import { bytes, languageName, modelName, number } from "./format.js";
import { check, field, form, h, load, on } from "./ui.js";

const chosen = { language: "auto" };

export function transcribeForm(file, queued) {
	const element = h("div.panel");
	const price = h("p", { role: "status" });
	const showPrice = () => session.user && describePrice(price, file, session.user);
	const open = () => load(element, async () => {
		const [{ models, languages }] = await Promise.all([get("model", { size: true }), loadUser()]);
		if (!models.length) throw new Error("No model is installed on this server.");
		showPrice();
		return orderForm(file.uuid, models, languages, price, queued);
	});
	return { element, open, showPrice };
}

function orderForm(uuid, models, languages, price, queued) {
	const submit = async (values) => {
		Object.assign(chosen, values);
		await call("POST", "transcribe", {
			...values,
			uuid,
			format: "verbose_json",
			word_timestamps: Boolean(values.word_timestamps),
			translate: Boolean(values.translate),
			temperature: Number(values.temperature),
		});
		queued();
	};
	const names = languages.map((code) => [languageName(code), code]).sort();
	const options = names.map((each) => new Option(...each));
	const option = ({ name, size }) => new Option(`${modelName(name)} (${bytes(size)})`, name);
	const model = h("select", { name: "model" }, models.map(option));
	const language = h("select", { name: "language" }, new Option("Detect the language", "auto"), options);
	const restrict = () => {
		const isEnglish = model.value.endsWith(".en");
		for (const option of options) option.disabled = isEnglish && option.value !== "en";
		if (language.selectedOptions[0]?.disabled) language.value = "en";
	};
	if (chosen.model) model.value = chosen.model;
	language.value = chosen.language;
	on(model, "change", restrict);
	restrict();
	const scale = { name: "temperature", type: "number", min: 0, max: 1, step: 0.1, value: 0 };
	return form("Start", submit, [
		h("div.columns", field("Model", model), field("Language", language)),
		check("Time of each word", { name: "word_timestamps", checked: true }),
		h(
			"details",
			h("summary", "More options"),
			check("Translate into English", { name: "translate" }),
			field("Prompt", h("textarea", { name: "prompt", rows: 3, maxLength: 4000 }), "Names and spellings to expect."),
			field("Temperature", scale, "How freely the model guesses."),
		),
		price,
	]);
}

function describePrice(element, { duration_seconds: seconds }, user) {
	const balance = user.token_balance;
	// In millionths, because 3 × 1.1 is more than 3.3.
	const price = Math.ceil((Math.ceil(seconds) * Math.round(user.price_multiplier * 1e6)) / 1e6);
	const shown = seconds ? number(price) : "known when the recording is converted";
	element.textContent = `Price in tokens: ${shown}. Balance: ${number(balance)}.`;
	element.classList.toggle("error", price > balance);
}
