// Stores in each of the states that their cards show.

import type { Store } from "../src/api/types";

export interface StoreState {
  name: string;
  values: () => Partial<Store>; // in place of those of a store that is all right
  badge: string;
  words: string[]; // on the card
  confirm: boolean; // a person can confirm that slides are gone
}

export const refused = "ingest: so many slides are gone at once that none was marked missing: if that is meant, confirm the next sync (11 of 12)";

const now = (): string => new Date().toISOString();

export const storeStates: StoreState[] = [
  { name: "in step", values: () => ({ watch: { polling: false, why: null, error: null, last_pass: now(), arriving: 2 } }), badge: "In step", words: ["the system tells of changes at once", "2 files are being waited for"], confirm: false },
  { name: "polled", values: () => ({ watch: { polling: true, why: "nfs4 tells nothing", error: null, last_pass: now(), arriving: 0 } }), badge: "In step, by polling", words: ["nfs4 tells nothing"], confirm: false },
  { name: "refused", values: () => ({ watch: { polling: false, why: null, error: refused, last_pass: now(), arriving: 0 } }), badge: "Refused", words: ["(11 of 12)"], confirm: true },
  { name: "out of reach", values: () => ({ watch: { polling: false, why: null, error: "ingest: the store's folder is out of reach, nothing was marked missing", last_pass: null, arriving: 0 } }), badge: "Folder out of reach", words: ["The store's folder is out of reach"], confirm: false },
  { name: "not watched", values: () => ({ watch: null, last_sync: new Date(Date.now() - 7_200_000).toISOString(), last_result: { count: 12, added: 2, missing: 1, failed: [{ image: "i1", reason: "the file ends early" }], duration: 2.4 } }), badge: "Not watched", words: ["12 files: 2 new, 1 gone missing; 1 cannot be shown; took 2.4 seconds", "2 hours ago"], confirm: false },
  { name: "its host away", values: () => ({ watch: null, host: "nas", host_away: true, host_seen_at: "2025-03-14T09:00:00Z", endpoint: "https://tiles.example.org", endpoint_away: true, last_sync: now() }), badge: "Host away", words: ["The host nas has said nothing since", "Its tile server does not answer either"], confirm: false },
  { name: "its tile server away", values: () => ({ watch: { polling: false, why: null, error: null, last_pass: now(), arriving: 0 }, host_away: null, endpoint: "https://tiles.example.org", endpoint_away: true, endpoint_error: "connection refused" }), badge: "Tile server away", words: ["The tile server at https://tiles.example.org does not answer this server (connection refused)"], confirm: false },
  { name: "kept by its host", values: () => ({ watch: null, host: "nas", host_away: false, last_sync: now() }), badge: "In step, by its host", words: ["A worker on nas watches the folder."], confirm: false },
  { name: "never synced", values: () => ({ watch: null, last_sync: null, last_result: null, schedule: "0 3 * * *", time_zone: "Europe/Vienna", host: "nas", queue: null, endpoint: "https://tiles.example.org" }), badge: "Never synced", words: ["every day at 03:00 (Europe/Vienna)", "host-nas", "https://tiles.example.org", "never"], confirm: false },
];
