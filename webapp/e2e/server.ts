// Servers for the tests.

import { spawn, type ChildProcessByStdio } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

export interface Server {
  address: string; // without a slash at its end
  link: string; // as printed: the address, or the link for the first admin
  stop: () => Promise<void>;
}

const binary = process.env.PTIFFSTORE_BIN ?? fileURLToPath(new URL("../../bin/ptiffstore", import.meta.url));

// startServer runs a command of ptiffstore that serves the data in a folder, until
// it has printed its address.
export async function startServer(data: string, command: "demo" | "serve", ...flags: string[]): Promise<Server> {
  if (!existsSync(binary)) throw new Error(`there is no ${binary}: run "make build", or name another binary in PTIFFSTORE_BIN`);
  const child = spawn(binary, [command, "--listen", "127.0.0.1:0", "--data", data, ...flags], { stdio: ["ignore", "pipe", "pipe"] });
  const link = await printedLink(child, flags.includes("--auth") ? /http\S+\/(?:welcome|setup)#\S+(?=\s)/ : /^http\S+(?=\s)/m);
  const stop = async (): Promise<void> => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
  };
  return { address: new URL(link).origin, link, stop };
}

function printedLink(child: ChildProcessByStdio<null, Readable, Readable>, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = "";
    const read = (chunk: Buffer): void => {
      output += String(chunk);
      const found = pattern.exec(output);
      if (found) resolve(found[0]);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("exit", (code) => reject(new Error(`${child.spawnargs.join(" ")} ended with ${code}:\n${output.slice(-4000)}`)));
  });
}

// demoSlides is the folder with the slides of the server that all tests share.
export const demoSlides = (): string => join(process.env.PTIFFSTORE_E2E_DATA!, "demo");

// copySlides puts the slides of the demo into the data folder of another server. They are
// not hard links: a link that is made or removed changes the ctime of the file, and so the
// revision that other tests use at that moment.
export function copySlides(data: string): void {
  mkdirSync(join(data, "demo"), { recursive: true });
  for (const name of readdirSync(demoSlides())) {
    const from = join(demoSlides(), name);
    const to = join(data, "demo", name);
    copyFileSync(from, to);
    const { atime, mtime } = statSync(from);
    utimesSync(to, atime, mtime);
  }
}
