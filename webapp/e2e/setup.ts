import { rmSync } from "node:fs";

import { startServer } from "./server";

// setup starts the server that tests share. What it returns ends the run.
export default async function setup(): Promise<() => Promise<void>> {
  const server = await startServer(process.env.PTIFFSTORE_E2E_DATA!, "demo");
  process.env.PTIFFSTORE_E2E_SERVER = server.address;
  return async () => {
    await server.stop();
    const folder = process.env.PTIFFSTORE_E2E_REMOVE;
    if (folder) rmSync(folder, { recursive: true, force: true });
  };
}
