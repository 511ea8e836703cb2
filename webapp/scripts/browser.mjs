// Starts the browser of the system: CHROMIUM, by default the one that playwright.config.ts uses.

import { existsSync } from "node:fs";
import { chromium } from "@playwright/test";

const shell = "/usr/lib/chromium/chromium-headless-shell";

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? (existsSync(shell) ? shell : "/usr/bin/chromium"),
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
