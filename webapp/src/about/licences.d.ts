// What vite.config.ts makes of the libraries in node_modules.
declare module "virtual:licences" {
  interface Library {
    name: string;
    version: string;
    licence: string; // SPDX identifier
    homepage: string | null;
    text: string; // of the licence; "" where the library has none
  }
  export const libraries: Library[];
  export const own: string; // SPDX identifier of the application's own licence
}
