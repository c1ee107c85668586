// Checks a dashboard against Grafana's own types: fields that there are not, values of another type,
// and what is missing.
//
//     node check.mjs TOOLS DASHBOARD.json
//
// TOOLS is where `make setup` put the types. Prints a line for each fault; fails if there is one.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [tools, file] = process.argv.slice(2);
const modules = path.resolve(tools, "node_modules");
const { default: ts } = await import(pathToFileURL(path.join(modules, "typescript/lib/typescript.js")));
const dashboard = JSON.parse(fs.readFileSync(file, "utf8"));

// JSON has the words of an enumeration and not its members; a JSON file need not say what has a
// default.
const prelude = `
import type * as grafana from "@grafana/schema";
type Plain<T> = T extends string ? \`\${T}\`
  : T extends (infer U)[] ? Plain<U>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> }
  : T;
type PanelOf<O, F> = Plain<Omit<grafana.Panel, "options" | "fieldConfig">> & {
  options?: Partial<Plain<O>>;
  fieldConfig?: Plain<Omit<grafana.FieldConfigSource, "defaults">> & {
    defaults: Plain<Omit<grafana.FieldConfig, "custom">> & { custom?: Plain<F> };
  };
};
`;

// Where the options of a kind of panel are defined.
function definitions(type) {
  const at = path.join(modules, "@grafana/schema/dist/types/raw/composable", type, "panelcfg/x/types.gen");
  return fs.existsSync(`${at}.d.ts`) ? at.replaceAll("\\", "/") : undefined;
}

const sources = new Map();
const names = new Map();
function check(name, type, value, imports = "") {
  const place = path.resolve(tools, `check-${sources.size}.mts`);
  sources.set(place, `${imports}${prelude}export const it: ${type} = ${JSON.stringify(value)};\n`);
  names.set(place, name);
}

const faults = [];
// A query is its data source's: Grafana knows it for any object in panels, and should in annotations.
const annotations = dashboard.annotations?.list?.map(({ target, ...rest }) => rest);
check("dashboard", "Plain<grafana.Dashboard>", { ...dashboard, annotations: { list: annotations } });
for (const panel of dashboard.panels) {
  const name = `panel ${panel.id} ${JSON.stringify(panel.title)}`;
  if (panel.type === "row") {
    check(name, "Plain<grafana.RowPanel>", panel);
    continue;
  }
  const at = definitions(panel.type);
  if (!at) {
    faults.push(`${name}: Grafana has no panel of type ${panel.type}`);
    continue;
  }
  const fields = /interface FieldConfig\b/.test(fs.readFileSync(`${at}.d.ts`, "utf8"));
  const imports = `import type * as panel from ${JSON.stringify(at)};\n`;
  check(name, `PanelOf<panel.Options, ${fields ? "panel.FieldConfig" : "{}"}>`, panel, imports);
}

const options = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  types: [],
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
};
const host = ts.createCompilerHost(options);
const { getSourceFile, fileExists, readFile } = host;
host.fileExists = (at) => sources.has(at) || fileExists(at);
host.readFile = (at) => sources.get(at) ?? readFile(at);
host.getSourceFile = (at, ...rest) =>
  sources.has(at)
    ? ts.createSourceFile(at, sources.get(at), options.target)
    : getSourceFile(at, ...rest);
const program = ts.createProgram([...sources.keys()], options, host);
for (const fault of ts.getPreEmitDiagnostics(program)) {
  const name = names.get(fault.file?.fileName);
  const text = ts.flattenDiagnosticMessageText(fault.messageText, " ");
  faults.push(`${name ? `${name}: ` : ""}${text}`);
}

faults.forEach((fault) => console.log(fault));
console.log(`${dashboard.panels.length} panels: ${faults.length} faults`);
process.exit(faults.length > 0 ? 1 : 0);
