// Stores in each of the states that their cards show.

import type { Store } from "../src/api/types";

export interface StoreState {
  name: string;
  values: () => Partial<Store>; // instead of those of a store without problems
  badge: string;
  words: string[]; // on the card
  confirm: boolean; // a person can confirm that slides are gone
}

export const refused = "too many slides are missing at once, so none was marked missing; if this is intended, confirm the next sync (11 of 12)";

const now = (): string => new Date().toISOString();

export const storeStates: StoreState[] = [
  { name: "up to date", values: () => ({ watch: { polling: false, why: null, error: null, last_pass: now(), arriving: 2 } }), badge: "Up to date", words: ["by file system events", "2 files arriving"], confirm: false },
  { name: "polled", values: () => ({ watch: { polling: true, why: "nfs4 reports no changes", error: null, last_pass: now(), arriving: 0 } }), badge: "Up to date (polling)", words: ["nfs4 reports no changes"], confirm: false },
  { name: "confirmation needed", values: () => ({ watch: { polling: false, why: null, error: refused, error_code: "too_many_missing", last_pass: now(), arriving: 0 } }), badge: "Needs confirmation", words: ["(11 of 12)"], confirm: true },
  { name: "folder unreachable", values: () => ({ watch: { polling: false, why: null, error: "the store's folder is unreachable; nothing was marked missing", error_code: "folder_unreachable", last_pass: null, arriving: 0 } }), badge: "Unreachable", words: ["The store's folder is unreachable"], confirm: false },
  { name: "not watched", values: () => ({ watch: null, last_sync: new Date(Date.now() - 7_200_000).toISOString(), last_result: { count: 12, added: 2, missing: 1, failed: [{ image: "i1", reason: "the file ends early" }], duration: 2.4 } }), badge: "Not watched", words: ["12 files: 2 new, 1 missing; 1 cannot be opened; took 2.4 seconds", "2 hours ago"], confirm: false },
  { name: "host offline", values: () => ({ watch: null, host: "nas", host_away: true, host_seen_at: "2025-03-14T09:00:00Z", endpoint: "https://tiles.example.org", endpoint_away: true, last_sync: now() }), badge: "Host offline", words: ["The host nas has not reported since", "Its tile server does not respond either"], confirm: false },
  { name: "tile server unreachable", values: () => ({ watch: { polling: false, why: null, error: null, last_pass: now(), arriving: 0 }, host_away: null, endpoint: "https://tiles.example.org", endpoint_away: true, endpoint_error: "connection refused" }), badge: "Tile server unreachable", words: ["The tile server at https://tiles.example.org does not respond to this server (connection refused)"], confirm: false },
  { name: "synced by its host", values: () => ({ watch: null, host: "nas", host_away: false, last_sync: now() }), badge: "Up to date (synced by its host)", words: ["A worker on nas watches the folder."], confirm: false },
  { name: "never synced", values: () => ({ watch: null, last_sync: null, last_result: null, schedule: "0 3 * * *", time_zone: "Europe/Vienna", host: "nas", queue: null, endpoint: "https://tiles.example.org" }), badge: "Never synced", words: ["every day at 03:00 (Europe/Vienna)", "host-nas", "https://tiles.example.org", "never"], confirm: false },
];
