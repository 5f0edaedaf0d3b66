// Uploads a file with tus-js-client, which goes on by itself after failures, and prints its URL.

import { createReadStream, statSync } from "node:fs";
import { basename } from "node:path";
import { Upload } from "tus-js-client";

const [endpoint, authorization, path] = process.argv.slice(2);

const upload = new Upload(createReadStream(path), {
	endpoint,
	headers: { Authorization: authorization },
	metadata: { filename: basename(path) },
	uploadSize: statSync(path).size,
	retryDelays: Array(50).fill(100),
	onError(error) {
		console.error(String(error));
		process.exit(1);
	},
	onSuccess: () => console.log(upload.url),
});
upload.start();
