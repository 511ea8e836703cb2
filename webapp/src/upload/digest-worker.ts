// Calculates the SHA-256 of a file in a worker: crypto.subtle cannot do it in chunks, and slides
// can be larger than memory.

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

const part = 8 * 1024 * 1024; // bytes

addEventListener("message", async (event: MessageEvent<File>) => {
  const file = event.data;
  const hash = sha256.create();
  try {
    for (let at = 0; at < file.size; at += part) {
      hash.update(new Uint8Array(await file.slice(at, at + part).arrayBuffer()));
      postMessage({ done: Math.min(file.size, at + part) });
    }
    postMessage({ digest: bytesToHex(hash.digest()) });
  } catch {
    postMessage({ failed: true });
  }
});
