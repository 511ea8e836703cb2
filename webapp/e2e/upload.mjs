// Uploads a file with a third-party client: node upload.mjs tus|uppy URL STORE FILE. A
// test of internal/upload runs it through a proxy that resets connections.

import { readFileSync } from "node:fs";
import { basename } from "node:path";

const [client, endpoint, store, path] = process.argv.slice(2);
const data = readFileSync(path);
const retryDelays = Array.from({ length: 60 }, () => 50);
const chunkSize = 256 * 1024;

if (client === "tus") {
  const { Upload } = await import("tus-js-client");
  await new Promise((resolve, reject) => {
    const upload = new Upload(data, {
      endpoint, retryDelays, chunkSize, metadata: { filename: basename(path), store },
      onError: reject,
      onSuccess: () => { console.log(upload.url); resolve(); },
    });
    upload.start();
  });
} else {
  const { default: Uppy } = await import("@uppy/core");
  const { default: Tus } = await import("@uppy/tus");
  const uppy = new Uppy({ meta: { store } });
  uppy.use(Tus, { endpoint, retryDelays, chunkSize, allowedMetaFields: ["store", "filename"], storeFingerprintForResuming: false });
  data.size = data.length; // Uppy expects a blob, tus-js-client in Node a buffer
  uppy.addFile({ name: basename(path), type: "image/tiff", data, meta: { filename: basename(path) } });
  const result = await uppy.upload();
  if (result.failed.length > 0) throw result.failed[0].error;
  console.log(result.successful[0].uploadURL);
}
