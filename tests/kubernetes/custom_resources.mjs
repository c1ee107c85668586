// Checks custom resources against models made from the CRDs that their projects publish (which, and
// of which version, is in each package's package.json under crd-generate).
//
//     node custom_resources.mjs SCHEMAS OBJECTS.json
//
// SCHEMAS is where `make setup` put them. Prints a line for each fault; fails if there is one. Two
// readers share the work: the models' validators know types, required fields and allowed values, and
// the TypeScript compiler knows fields that there are not.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [schemas, file] = process.argv.slice(2);
const modules = path.resolve(schemas, "node_modules");
const objects = JSON.parse(fs.readFileSync(file, "utf8"));
const faults = [];

const packages = {
  "istio.io": "istio",
  "monitoring.coreos.com": "prometheus-operator",
  "gateway.envoyproxy.io": "envoy-gateway",
  "gateway.networking.k8s.io": "gateway-api",
};

// Where the model of an object is, without its extension.
function model(object) {
  const [group, version] = object.apiVersion.split("/");
  const known = Object.keys(packages).find((end) => group === end || group.endsWith(`.${end}`));
  if (!known) throw new Error(`there is no schema of ${object.apiVersion}`);
  return path.join(modules, "@kubernetes-models", packages[known], group, version, object.kind);
}

function name(object) {
  return `${object.kind} ${object.metadata.name}`;
}

for (const object of objects) {
  try {
    const { [object.kind]: Model } = await import(pathToFileURL(`${model(object)}.js`));
    new Model(object).validate();
  } catch (error) {
    faults.push(`${name(object)}: ${error.message}`);
  }
}

const { default: ts } = await import(pathToFileURL(path.join(modules, "typescript/lib/typescript.js")));
const options = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  types: [],
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
};
// One object a file, beside the schemas, so that imports are found; the files exist here only.
const sources = new Map();
objects.forEach((object, number) => {
  const place = path.join(schemas, `object-${number}.mts`);
  const type = `import("${model(object).replaceAll("\\", "/")}.js").I${object.kind}`;
  sources.set(path.resolve(place), `export const it: ${type} = ${JSON.stringify(object)};\n`);
});
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
  const at = [...sources.keys()].indexOf(fault.file?.fileName);
  const text = ts.flattenDiagnosticMessageText(fault.messageText, " ");
  faults.push(`${at < 0 ? "" : `${name(objects[at])}: `}${text}`);
}

faults.forEach((fault) => console.log(fault));
console.log(`${objects.length} custom resources: ${faults.length} faults`);
process.exit(faults.length > 0 ? 1 : 0);
