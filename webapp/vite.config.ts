import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const dist = fileURLToPath(new URL("../internal/webui/dist", import.meta.url));

// The development server (npm run dev) forwards requests to the API to this server, a
// running `ptiffstore demo` or `ptiffstore serve`.
const backend = process.env.PTIFFSTORE_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  build: {
    outDir: dist,
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // data: URLs would need a weaker Content-Security-Policy
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    license: { fileName: "licences.md" },
    rolldownOptions: {
      output: {
        // It changes less often than the application, so browsers can cache it longer.
        codeSplitting: { groups: [{ name: "openseadragon", test: /node_modules\/openseadragon\// }] },
      },
    },
  },
  server: { proxy: { "/api": backend } },
  plugins: [licences(), slidePage(), compressed(), keepFolder()],
});

// licences provides the module virtual:licences: the dependencies of package.json with
// their licences, from node_modules.
function licences(): Plugin {
  const name = "virtual:licences";
  const folder = fileURLToPath(new URL(".", import.meta.url));
  return {
    name: "licences",
    resolveId: (id) => (id === name ? `\0${name}` : null),
    async load(id) {
      if (id !== `\0${name}`) return null;
      const own = await readPackage(folder);
      const libraries = await Promise.all(Object.keys(own.dependencies ?? {}).sort().map(async (library) => {
        const at = join(folder, "node_modules", library);
        const { version, license, homepage } = await readPackage(at);
        if (!license) this.error(`${library} does not declare a licence`);
        const file = (await readdir(at)).find((entry) => /^licen[cs]e/i.test(entry));
        const text = file ? await readFile(join(at, file), "utf8") : "";
        return { name: library, version, licence: license, homepage: homepage ?? null, text };
      }));
      return `export const libraries = ${JSON.stringify(libraries)};\nexport const own = ${JSON.stringify(own.license)};`;
    },
  };
}

interface Package {
  version: string;
  license?: string; // SPDX
  homepage?: string;
  dependencies?: Record<string, string>;
}

async function readPackage(folder: string): Promise<Package> {
  return JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as Package;
}

// slidePage writes slide.html: index.html that also preloads the code of the viewer,
// which would otherwise be requested only after the entry module has run.
function slidePage(): Plugin {
  const links = new Set<string>();
  return {
    name: "slide-page",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      // The page is not painted before the theme is known.
      handler: (html) => html.replace('<script type="module"', '<script type="module" blocking="render"'),
    },
    writeBundle(_options, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== "chunk" || !chunk.facadeModuleId?.endsWith("/src/viewer/page.ts")) continue;
        for (const file of [chunk.fileName, ...chunk.imports]) {
          links.add(`<link rel="modulepreload" crossorigin href="/${file}">`);
        }
        for (const file of chunk.viteMetadata?.importedCss ?? []) {
          links.add(`<link rel="stylesheet" crossorigin href="/${file}">`);
        }
      }
    },
    async closeBundle() {
      if (links.size === 0) throw new Error("slide-page: found no chunk of src/viewer/page.ts");
      const html = await readFile(join(dist, "index.html"), "utf8");
      const fresh = [...links].filter((link) => !html.includes(link.match(/href="([^"]+)"/)![1]!));
      await writeFile(join(dist, "slide.html"), html.replace("</head>", `  ${fresh.join("\n    ")}\n  </head>`));
    },
  };
}

// compressed writes .br and .gz versions of files that become smaller, so that the server
// never compresses.
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    enforce: "post",
    closeBundle: {
      sequential: true,
      order: "post",
      async handler() {
        for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
          if (!entry.isFile() || !/\.(js|css|html|svg|md)$/.test(entry.name)) continue;
          const file = join(entry.parentPath, entry.name);
          const data = await readFile(file);
          const br = await promisify(brotliCompress)(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: data.length } });
          const gz = await promisify(gzip)(data, { level: 9 });
          if (br.length < data.length) await writeFile(`${file}.br`, br);
          if (gz.length < data.length) await writeFile(`${file}.gz`, gz);
        }
      },
    },
  };
}

// keepFolder restores the file that keeps the folder in the repository.
function keepFolder(): Plugin {
  return {
    name: "keep-folder",
    apply: "build",
    closeBundle: () => writeFile(join(dist, ".keep"), ""),
  };
}
