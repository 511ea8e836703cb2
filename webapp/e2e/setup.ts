import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { startServer } from "./server";

// setup starts the server that tests share. What it returns ends the run.
export default async function setup(): Promise<() => Promise<void>> {
  const data = process.env.PTIFFSTORE_E2E_DATA!;
  // Small slides in a fifth of the time. Without Go the server writes those of full size.
  spawnSync("go", ["run", "./scripts/demoslides", join(data, "demo")], { cwd: fileURLToPath(new URL("../..", import.meta.url)), stdio: "inherit" });
  const server = await startServer(data, "demo");
  process.env.PTIFFSTORE_E2E_SERVER = server.address;
  return async () => {
    await server.stop();
    const folder = process.env.PTIFFSTORE_E2E_REMOVE;
    if (folder) rmSync(folder, { recursive: true, force: true });
  };
}
