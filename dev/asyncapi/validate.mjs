// Reads AsyncAPI documents with the official parser; fails where it has an error or a warning.
//
//   node validate.mjs MODULES FILE…      MODULES is the folder that holds @asyncapi/parser
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const [modules, ...files] = process.argv.slice(2);
const { Parser } = createRequire(join(modules, "package.json"))("@asyncapi/parser");
const WARNING = 1;
let failed = files.length === 0;
for (const file of files) {
    const { document, diagnostics } = await new Parser().parse(await readFile(file, "utf8"));
    const errors = diagnostics.filter((found) => found.severity <= WARNING);
    for (const { message, path } of errors) console.error(`${file}: ${path.join(".")}: ${message}`);
    failed ||= !document || errors.length > 0;
    if (document) {
        const count = (all) => all.all().length;
        console.log(`${file}: ${count(document.channels())} channels, ${count(document.operations())} operations`);
    }
}
process.exit(failed ? 1 : 0);
