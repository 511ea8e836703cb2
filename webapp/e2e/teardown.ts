import { rmSync } from "node:fs";

// teardown removes the data of the run.
export default function teardown(): void {
  const folder = process.env.PTIFFSTORE_E2E_REMOVE;
  if (folder) rmSync(folder, { recursive: true, force: true });
}
